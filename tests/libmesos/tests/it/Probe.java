import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Arrays;
import java.util.List;

import org.apache.mesos.MesosNativeLibrary;
import org.apache.mesos.MesosSchedulerDriver;
import org.apache.mesos.Protos;
import org.apache.mesos.Scheduler;
import org.apache.mesos.SchedulerDriver;

/**
 * A scheduler that says each callback on a line of standard output and does what the lines of its
 * standard input tell. Arguments: MASTER implicit|explicit [PRINCIPAL SECRET]
 */
public class Probe implements Scheduler {
    /** The next callback throws. */
    private static volatile boolean throwing;
    /** The last update. */
    private static volatile Protos.TaskStatus last;

    public static void main(String[] args) throws Exception {
        MesosNativeLibrary.load();
        MesosNativeLibrary.Version version = MesosNativeLibrary.version();
        say("version " + version.major + "." + version.minor + "." + version.patch);
        Protos.FrameworkInfo info =
            Protos.FrameworkInfo.newBuilder().setUser("").setName("probe").build();
        boolean implicit = args[1].equals("implicit");
        MesosSchedulerDriver driver;
        if (args.length > 2) {
            Protos.Credential credential = Protos.Credential.newBuilder()
                .setPrincipal(args[2]).setSecret(args[3]).build();
            driver = new MesosSchedulerDriver(new Probe(), info, args[0], implicit, credential);
        } else {
            driver = new MesosSchedulerDriver(new Probe(), info, args[0], implicit);
        }
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            if (line.equals("forget")) {
                driver = null;
                for (int i = 0; i < 5; i++) {
                    System.gc();
                    System.runFinalization();
                }
                say("forgotten");
                continue;
            }
            try {
                String answer = order(driver, line.split(" "));
                if (answer != null) say(answer);
            } catch (RuntimeException exception) {
                say("exception " + exception.getClass().getSimpleName());
            }
        }
    }

    private static String order(MesosSchedulerDriver driver, String[] words) {
        String verb = words[0];
        if (verb.equals("throw")) {
            throwing = true;
            return null;
        }
        return String.valueOf(call(driver, verb, words));
    }

    private static Protos.Status call(MesosSchedulerDriver driver, String verb, String[] words) {
        Protos.Filters filters = Protos.Filters.newBuilder().setRefuseSeconds(7).build();
        if (verb.equals("start")) return driver.start();
        if (verb.equals("stop")) return driver.stop(words[1].equals("failover"));
        if (verb.equals("abort")) return driver.abort();
        if (verb.equals("join")) return driver.join();
        if (verb.equals("revive")) return driver.reviveOffers();
        if (verb.equals("suppress")) return driver.suppressOffers();
        if (verb.equals("acknowledge")) return driver.acknowledgeStatusUpdate(last);
        if (verb.equals("kill")) return driver.killTask(task(words[1]));
        if (verb.equals("launch")) {
            return driver.launchTasks(offer(words[1]), tasks(words), filters);
        }
        if (verb.equals("launch-on-all")) {
            return driver.launchTasks(Arrays.asList(offer(words[1])), tasks(words), filters);
        }
        if (verb.equals("accept")) {
            Protos.Offer.Operation.Launch launch =
                Protos.Offer.Operation.Launch.newBuilder().addAllTaskInfos(tasks(words)).build();
            Protos.Offer.Operation operation = Protos.Offer.Operation.newBuilder()
                .setType(Protos.Offer.Operation.Type.LAUNCH).setLaunch(launch).build();
            return driver.acceptOffers(
                Arrays.asList(offer(words[1])), Arrays.asList(operation), filters);
        }
        if (verb.equals("decline")) return driver.declineOffer(offer(words[1]), filters);
        if (verb.equals("request")) {
            Protos.Request request = Protos.Request.newBuilder().setSlaveId(agent("S1")).build();
            return driver.requestResources(Arrays.asList(request));
        }
        if (verb.equals("reconcile")) {
            Protos.TaskStatus status = Protos.TaskStatus.newBuilder()
                .setTaskId(task(words[1])).setState(Protos.TaskState.TASK_RUNNING).build();
            return driver.reconcileTasks(Arrays.asList(status));
        }
        if (verb.equals("message")) {
            Protos.ExecutorID executor =
                Protos.ExecutorID.newBuilder().setValue(words[1]).build();
            return driver.sendFrameworkMessage(executor, agent("S1"), new byte[] {0, -1});
        }
        throw new IllegalArgumentException(verb);
    }

    private static List tasks(String[] words) {
        Protos.TaskInfo task = Protos.TaskInfo.newBuilder().setName(words[2])
            .setTaskId(task(words[2])).setSlaveId(agent("S1")).build();
        return Arrays.asList(task);
    }

    private static Protos.OfferID offer(String id) {
        return Protos.OfferID.newBuilder().setValue(id).build();
    }

    private static Protos.TaskID task(String id) {
        return Protos.TaskID.newBuilder().setValue(id).build();
    }

    private static Protos.SlaveID agent(String id) {
        return Protos.SlaveID.newBuilder().setValue(id).build();
    }

    private static synchronized void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    private static void told(String line) {
        // Asked first: who reads the line may give the next order at once.
        boolean throwNow = throwing;
        throwing = false;
        say(line);
        if (throwNow) {
            throw new IllegalStateException("as it was told to");
        }
    }

    public void registered(SchedulerDriver d, Protos.FrameworkID id, Protos.MasterInfo master) {
        told("registered " + id.getValue() + " " + master.getHostname());
    }

    public void reregistered(SchedulerDriver d, Protos.MasterInfo master) {
        told("reregistered " + master.getHostname());
    }

    public void disconnected(SchedulerDriver d) {
        told("disconnected");
    }

    public void resourceOffers(SchedulerDriver d, List offers) {
        String line = "offers";
        for (Object offer : offers) {
            line += " " + ((Protos.Offer) offer).getId().getValue();
        }
        told(line);
    }

    public void offerRescinded(SchedulerDriver d, Protos.OfferID offer) {
        told("rescinded " + offer.getValue());
    }

    public void statusUpdate(SchedulerDriver d, Protos.TaskStatus status) {
        last = status;
        told("update " + status.getTaskId().getValue() + " " + status.getState());
    }

    public void frameworkMessage(
        SchedulerDriver d, Protos.ExecutorID executor, Protos.SlaveID agent, byte[] data) {
        told("message " + executor.getValue() + " " + agent.getValue() + " " + data.length);
    }

    public void slaveLost(SchedulerDriver d, Protos.SlaveID agent) {
        told("agent lost " + agent.getValue());
    }

    public void executorLost(
        SchedulerDriver d, Protos.ExecutorID executor, Protos.SlaveID agent, int status) {
        told("executor lost " + executor.getValue() + " " + agent.getValue() + " " + status);
    }

    public void error(SchedulerDriver d, String message) {
        told("error " + message);
    }
}
