import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import javax.security.auth.login.AppConfigurationEntry;
import javax.security.auth.login.Configuration;
import javax.security.auth.login.Configuration.Parameters;

/** What a JVM reads from files of JAAS: the number of the file, the section, the module, and each option, as hex of UTF-8. */
class ReadJaas {
  public static void main(String[] arguments) throws Exception {
    for (int file = 0; file < arguments.length; file++) {
      var from = new java.security.URIParameter(new File(arguments[file]).toURI());
      Configuration read = Configuration.getInstance("JavaLoginConfig", from);
      for (String section : new String[] {"QuorumServer", "QuorumLearner", "QuorumFormerLearner", "Server", "Client"}) {
        AppConfigurationEntry[] entries = read.getAppConfigurationEntry(section);
        if (entries == null) continue;
        for (AppConfigurationEntry entry : entries) {
          String begin = file + " " + section + " " + entry.getLoginModuleName() + " ";
          entry.getOptions().forEach((key, value) -> System.out.println(begin + hex(key) + " " + hex(value)));
        }
      }
    }
  }

  private static String hex(Object text) {
    // One character at least, for words are divided by blanks.
    return "." + HexFormat.of().formatHex(text.toString().getBytes(StandardCharsets.UTF_8));
  }
}
