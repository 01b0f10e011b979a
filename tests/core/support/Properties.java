import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Properties;

/** What java.util.Properties reads from a file, as hex of UTF-8: as ZooKeeper and Log4j open it, then as Spark does. */
class ReadProperties {
  public static void main(String[] arguments) throws Exception {
    Properties bytes = new Properties();
    bytes.load(new FileInputStream(arguments[0]));
    print("bytes", bytes);
    Properties text = new Properties();
    text.load(new InputStreamReader(new FileInputStream(arguments[0]), StandardCharsets.UTF_8));
    print("text", text);
  }

  private static void print(String how, Properties read) {
    read.forEach((key, value) -> System.out.println(how + " " + hex(key) + " " + hex(value)));
  }

  private static String hex(Object text) {
    // One character at least, for words are divided by blanks.
    return "." + HexFormat.of().formatHex(text.toString().getBytes(StandardCharsets.UTF_8));
  }
}
