//! The Java side: the native methods of `org.apache.mesos.MesosSchedulerDriver` and
//! `MesosNativeLibrary`, and the calls of a Java `Scheduler`.
//!
//! Signatures and fields are those of mesos-1.4.3-shaded-protobuf.jar, the one in Spark 3.5
//! (`javap -p -s org.apache.mesos.MesosSchedulerDriver`). Messages cross as bytes: `toByteArray`
//! one way, `parseFrom` the other, which every generated message has, shaded or not.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jni::errors::{Error, Result};
use jni::objects::{JByteArray, JClass, JCollection, JObject, JString};
use jni::refs::{Global, Weak};
use jni::signature::MethodSignature;
use jni::strings::JNIString;
use jni::sys::{JNI_ERR, JNI_VERSION_1_6, jint};
use jni::{AttachConfig, DEFAULT_LOCAL_FRAME_CAPACITY, Env, JValue, JavaVM, jni_sig, jni_str};
use mesos_messages::Status;
use mesos_messages::scheduler::CallType;
use prost::Message as _;

use crate::driver::{Callback, Config, Driver};
use crate::messages::{Call, FrameworkInfo, Opaque};

/// The version of Mesos whose documents this library keeps to.
const VERSION: [i64; 3] = [1, 11, 0];

/// Called by the JVM when it has loaded this library. `MesosNativeLibrary` asks for its version only
/// once its field `loaded` is set, which is left to the library.
#[expect(unsafe_code, reason = "an exported symbol, and the pointer that the JVM gives it")]
#[unsafe(no_mangle)]
extern "system" fn JNI_OnLoad(vm: *mut jni::sys::JavaVM, _: *mut c_void) -> jint {
    // SAFETY: it comes from the JVM, which calls this once.
    let vm = unsafe { JavaVM::from_raw(vm) };
    let loaded = catch_unwind(AssertUnwindSafe(|| {
        vm.attach_current_thread(|env| {
            // `MesosNativeLibrary.load` makes its own loader the thread's.
            let class = env.load_class(jni_str!("org.apache.mesos.MesosNativeLibrary"))?;
            env.set_static_field(class, jni_str!("loaded"), jni_sig!("Z"), JValue::Bool(true))
        })
    }));
    match loaded {
        Ok(Ok(())) => JNI_VERSION_1_6,
        _ => JNI_ERR,
    }
}

/// The symbols that the JVM looks for. The macro checks the types, catches panics and turns errors
/// into Java's exceptions.
mod exported {
    use jni::{NativeMethod, native_method};

    const _: NativeMethod = native_method! {
        java_type = "org.apache.mesos.MesosNativeLibrary",
        name = "_version",
        sig = () -> "org.apache.mesos.MesosNativeLibrary$Version",
        static = true,
        export = true,
        fn = super::version,
    };

    macro_rules! scheduler_driver {
        ($($function:ident = $name:literal $arguments:tt $(-> $status:literal)?;)*) => { $(
            const _: NativeMethod = native_method! {
                java_type = "org.apache.mesos.MesosSchedulerDriver",
                name = $name,
                sig = $arguments $(-> $status)?,
                export = true,
                fn = super::$function,
            };
        )* };
    }
    scheduler_driver! {
        initialize = "initialize" ();
        finalize = "finalize" ();
        start = "start" () -> "org.apache.mesos.Protos$Status";
        stop = "stop" (failover: jboolean) -> "org.apache.mesos.Protos$Status";
        abort = "abort" () -> "org.apache.mesos.Protos$Status";
        join = "join" () -> "org.apache.mesos.Protos$Status";
        request_resources = "requestResources" (requests: JCollection)
            -> "org.apache.mesos.Protos$Status";
        launch_on_offer = "launchTasks" (
            offer: "org.apache.mesos.Protos$OfferID",
            tasks: JCollection,
            filters: "org.apache.mesos.Protos$Filters"
        ) -> "org.apache.mesos.Protos$Status";
        launch_on_offers = "launchTasks" (
            offers: JCollection,
            tasks: JCollection,
            filters: "org.apache.mesos.Protos$Filters"
        ) -> "org.apache.mesos.Protos$Status";
        kill_task = "killTask" (task: "org.apache.mesos.Protos$TaskID")
            -> "org.apache.mesos.Protos$Status";
        accept_offers = "acceptOffers" (
            offers: JCollection,
            operations: JCollection,
            filters: "org.apache.mesos.Protos$Filters"
        ) -> "org.apache.mesos.Protos$Status";
        decline_offer = "declineOffer" (
            offer: "org.apache.mesos.Protos$OfferID",
            filters: "org.apache.mesos.Protos$Filters"
        ) -> "org.apache.mesos.Protos$Status";
        revive_offers = "reviveOffers" () -> "org.apache.mesos.Protos$Status";
        suppress_offers = "suppressOffers" () -> "org.apache.mesos.Protos$Status";
        acknowledge = "acknowledgeStatusUpdate" (status: "org.apache.mesos.Protos$TaskStatus")
            -> "org.apache.mesos.Protos$Status";
        send_framework_message = "sendFrameworkMessage" (
            executor: "org.apache.mesos.Protos$ExecutorID",
            agent: "org.apache.mesos.Protos$SlaveID",
            data: [jbyte]
        ) -> "org.apache.mesos.Protos$Status";
        reconcile_tasks = "reconcileTasks" (statuses: JCollection)
            -> "org.apache.mesos.Protos$Status";
    }
}

/// The drivers that Java has, by the number in their field `__driver`. A number instead of a
/// pointer: what was finalized is not found any more, and nothing worse can come of it.
static DRIVERS: Mutex<BTreeMap<i64, Arc<Driver>>> = Mutex::new(BTreeMap::new());
static NEXT_DRIVER: AtomicI64 = AtomicI64::new(1);

fn drivers() -> MutexGuard<'static, BTreeMap<i64, Arc<Driver>>> {
    DRIVERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn driver_number(env: &mut Env<'_>, this: &JObject<'_>) -> Result<i64> {
    env.get_field(this, jni_str!("__driver"), jni_sig!("J"))?.into_long()
}

fn driver(env: &mut Env<'_>, this: &JObject<'_>) -> Result<Arc<Driver>> {
    let number = driver_number(env, this)?;
    drivers().get(&number).cloned().ok_or(Error::NullPtr("a driver that was not initialized"))
}

// --- native methods ---

fn version<'l>(env: &mut Env<'l>, _: JClass<'l>) -> Result<JObject<'l>> {
    let class = env.find_class(jni_str!("org/apache/mesos/MesosNativeLibrary$Version"))?;
    env.new_object(class, jni_sig!("(JJJ)V"), &VERSION.map(JValue::Long))
}

fn initialize<'l>(env: &mut Env<'l>, this: JObject<'l>) -> Result<()> {
    let master = jni_sig!("Ljava/lang/String;");
    let master = env.get_field(&this, jni_str!("master"), master)?.into_object()?;
    let master = env.cast_local::<JString>(master)?.to_string();
    let info = jni_sig!("Lorg/apache/mesos/Protos$FrameworkInfo;");
    let info = env.get_field(&this, jni_str!("framework"), info)?.into_object()?;
    let mut framework = bytes_of(env, &info)?;
    let named = FrameworkInfo::decode(&*framework)
        .is_ok_and(|info| info.user.is_some_and(|user| !user.is_empty()));
    if !named {
        let user = Some(system_property(env, "user.name")?);
        framework.extend(FrameworkInfo { user, ..FrameworkInfo::default() }.encode_to_vec());
    }
    let credential = jni_sig!("Lorg/apache/mesos/Protos$Credential;");
    let credential = env.get_field(&this, jni_str!("credential"), credential)?.into_object()?;
    let credential = if credential.is_null() { None } else { Some(bytes_of(env, &credential)?) };
    let implicit = jni_str!("implicitAcknowledgements");
    let implicit_acknowledgements = env.get_field(&this, implicit, jni_sig!("Z"))?.into_bool()?;
    let config = Config { master, framework, credential, implicit_acknowledgements };

    let scheduler = JavaScheduler::new(env, &this)?;
    let driver = Driver::new(config, Box::new(move |callback| scheduler.tell(&callback)));
    let number = NEXT_DRIVER.fetch_add(1, Ordering::Relaxed);
    drivers().insert(number, Arc::new(driver));
    env.set_field(&this, jni_str!("__driver"), jni_sig!("J"), JValue::Long(number))
}

fn finalize<'l>(env: &mut Env<'l>, this: JObject<'l>) -> Result<()> {
    // Nobody can speak to it any more; the real library stops it too.
    let number = driver_number(env, &this)?;
    let driver = drivers().remove(&number);
    if let Some(driver) = driver {
        driver.stop(false);
    }
    Ok(())
}

fn start<'l>(env: &mut Env<'l>, this: JObject<'l>) -> Result<JObject<'l>> {
    let status = driver(env, &this)?.start();
    status_of(env, status)
}

fn stop<'l>(env: &mut Env<'l>, this: JObject<'l>, failover: bool) -> Result<JObject<'l>> {
    let status = driver(env, &this)?.stop(failover);
    status_of(env, status)
}

fn abort<'l>(env: &mut Env<'l>, this: JObject<'l>) -> Result<JObject<'l>> {
    let status = driver(env, &this)?.abort();
    status_of(env, status)
}

fn join<'l>(env: &mut Env<'l>, this: JObject<'l>) -> Result<JObject<'l>> {
    let status = driver(env, &this)?.join();
    status_of(env, status)
}

fn send<'l>(env: &mut Env<'l>, this: &JObject<'l>, call: Call) -> Result<JObject<'l>> {
    let status = driver(env, this)?.send(call);
    status_of(env, status)
}

fn request_resources<'l>(
    env: &mut Env<'l>,
    this: JObject<'l>,
    requests: JCollection<'l>,
) -> Result<JObject<'l>> {
    let requests = bytes_of_all(env, &requests)?;
    send(env, &this, Call::request(requests))
}

fn launch_on_offer<'l>(
    env: &mut Env<'l>,
    this: JObject<'l>,
    offer: JObject<'l>,
    tasks: JCollection<'l>,
    filters: JObject<'l>,
) -> Result<JObject<'l>> {
    let offers = vec![bytes_of(env, &offer)?];
    let tasks = bytes_of_all(env, &tasks)?;
    let filters = bytes_of(env, &filters)?;
    send(env, &this, Call::launch(offers, tasks, filters))
}

fn launch_on_offers<'l>(
    env: &mut Env<'l>,
    this: JObject<'l>,
    offers: JCollection<'l>,
    tasks: JCollection<'l>,
    filters: JObject<'l>,
) -> Result<JObject<'l>> {
    let offers = bytes_of_all(env, &offers)?;
    let tasks = bytes_of_all(env, &tasks)?;
    let filters = bytes_of(env, &filters)?;
    send(env, &this, Call::launch(offers, tasks, filters))
}

fn kill_task<'l>(env: &mut Env<'l>, this: JObject<'l>, task: JObject<'l>) -> Result<JObject<'l>> {
    let task = bytes_of(env, &task)?;
    send(env, &this, Call::kill(task))
}

fn accept_offers<'l>(
    env: &mut Env<'l>,
    this: JObject<'l>,
    offers: JCollection<'l>,
    operations: JCollection<'l>,
    filters: JObject<'l>,
) -> Result<JObject<'l>> {
    let offers = bytes_of_all(env, &offers)?;
    let operations = bytes_of_all(env, &operations)?;
    let filters = bytes_of(env, &filters)?;
    send(env, &this, Call::accept(offers, operations, filters))
}

fn decline_offer<'l>(
    env: &mut Env<'l>,
    this: JObject<'l>,
    offer: JObject<'l>,
    filters: JObject<'l>,
) -> Result<JObject<'l>> {
    let offer = bytes_of(env, &offer)?;
    let filters = bytes_of(env, &filters)?;
    send(env, &this, Call::decline(offer, filters))
}

fn revive_offers<'l>(env: &mut Env<'l>, this: JObject<'l>) -> Result<JObject<'l>> {
    send(env, &this, Call::of(CallType::Revive))
}

fn suppress_offers<'l>(env: &mut Env<'l>, this: JObject<'l>) -> Result<JObject<'l>> {
    send(env, &this, Call::of(CallType::Suppress))
}

fn acknowledge<'l>(
    env: &mut Env<'l>,
    this: JObject<'l>,
    status: JObject<'l>,
) -> Result<JObject<'l>> {
    let driver = driver(env, &this)?;
    if driver.acknowledges_implicitly() {
        // The real library ends the process here.
        let class = jni_str!("java/lang/IllegalStateException");
        let text = jni_str!("acknowledgeStatusUpdate: implicit acknowledgements are enabled");
        env.throw_new(class, text)?;
    }
    let acknowledgement = Call::acknowledge(&bytes_of(env, &status)?);
    let status = match acknowledgement {
        Some(call) => driver.send(call),
        None => driver.status(),
    };
    status_of(env, status)
}

fn send_framework_message<'l>(
    env: &mut Env<'l>,
    this: JObject<'l>,
    executor: JObject<'l>,
    agent: JObject<'l>,
    data: JByteArray<'l>,
) -> Result<JObject<'l>> {
    let executor = bytes_of(env, &executor)?;
    let agent = bytes_of(env, &agent)?;
    let data = env.convert_byte_array(&data)?;
    send(env, &this, Call::message(executor, agent, data))
}

fn reconcile_tasks<'l>(
    env: &mut Env<'l>,
    this: JObject<'l>,
    statuses: JCollection<'l>,
) -> Result<JObject<'l>> {
    let statuses = bytes_of_all(env, &statuses)?;
    send(env, &this, Call::reconcile(&statuses))
}

// --- what crosses ---

fn status_of<'l>(env: &mut Env<'l>, status: Status) -> Result<JObject<'l>> {
    let class = env.find_class(jni_str!("org/apache/mesos/Protos$Status"))?;
    let signature = jni_sig!("(I)Lorg/apache/mesos/Protos$Status;");
    let number = [JValue::Int(status as i32)];
    env.call_static_method(class, jni_str!("valueOf"), signature, &number)?.into_object()
}

fn bytes_of(env: &mut Env<'_>, message: &JObject<'_>) -> Result<Opaque> {
    env.with_local_frame(4, |env| {
        let array = env.call_method(message, jni_str!("toByteArray"), jni_sig!("()[B"), &[])?;
        let array = env.cast_local::<JByteArray>(array.into_object()?)?;
        env.convert_byte_array(&array)
    })
}

fn bytes_of_all(env: &mut Env<'_>, messages: &JCollection<'_>) -> Result<Vec<Opaque>> {
    let array = messages.to_array(env)?;
    let mut all = Vec::new();
    for at in 0..array.len(env)? {
        let message = array.get_element(env, at)?;
        all.push(bytes_of(env, &message)?);
        env.delete_local_ref(message);
    }
    Ok(all)
}

fn system_property(env: &mut Env<'_>, name: &str) -> Result<String> {
    let name = env.new_string(name)?;
    let class = env.find_class(jni_str!("java/lang/System"))?;
    let signature = jni_sig!("(Ljava/lang/String;)Ljava/lang/String;");
    let method = jni_str!("getProperty");
    let value = env.call_static_method(class, method, signature, &[(&name).into()])?;
    Ok(env.cast_local::<JString>(value.into_object()?)?.to_string())
}

/// One class of `org.apache.mesos.Protos`. Classes are found when a driver is initialized, by the
/// loader that its own class has; a thread of ours would only find those of the system's loader.
struct Message {
    class: Global<JClass<'static>>,
    signature: MethodSignature<'static, 'static>,
}

impl Message {
    fn new(
        env: &mut Env<'_>,
        class: &str,
        signature: MethodSignature<'static, 'static>,
    ) -> Result<Message> {
        let class = env.find_class(JNIString::from(class.replace('.', "/")))?;
        Ok(Message { class: env.new_global_ref(class)?, signature })
    }

    fn parse<'l>(&self, env: &mut Env<'l>, bytes: &[u8]) -> Result<JObject<'l>> {
        let bytes = env.byte_array_from_slice(bytes)?;
        let class: &JClass<'static> = &self.class;
        let parsed = env.call_static_method(
            class,
            jni_str!("parseFrom"),
            &self.signature,
            &[(&bytes).into()],
        )?;
        parsed.into_object()
    }
}

macro_rules! message {
    ($env:expr, $class:literal) => {
        Message::new($env, $class, jni_sig!((bytes: [jbyte]) -> $class))?
    };
}

/// The Java `Scheduler` of a driver.
struct JavaScheduler {
    /// Weak, so that a driver which nobody holds any more can be collected and finalized.
    driver: Weak<JObject<'static>>,
    framework_id: Message,
    master_info: Message,
    offer: Message,
    offer_id: Message,
    task_status: Message,
    executor_id: Message,
    agent_id: Message,
}

impl JavaScheduler {
    fn new(env: &mut Env<'_>, driver: &JObject<'_>) -> Result<JavaScheduler> {
        Ok(JavaScheduler {
            driver: env.new_weak_ref(driver)?,
            framework_id: message!(env, "org.apache.mesos.Protos$FrameworkID"),
            master_info: message!(env, "org.apache.mesos.Protos$MasterInfo"),
            offer: message!(env, "org.apache.mesos.Protos$Offer"),
            offer_id: message!(env, "org.apache.mesos.Protos$OfferID"),
            task_status: message!(env, "org.apache.mesos.Protos$TaskStatus"),
            executor_id: message!(env, "org.apache.mesos.Protos$ExecutorID"),
            agent_id: message!(env, "org.apache.mesos.Protos$SlaveID"),
        })
    }

    /// Calls the method for this callback. The thread is Java's only that long, so that a JVM
    /// never waits for it to end. An exception is described on standard error.
    fn tell(&self, callback: &Callback) -> std::result::Result<(), String> {
        let attachment =
            || AttachConfig::new().scoped(true).thread_name(jni_str!("mesos-callbacks"));
        let told = JavaVM::singleton().and_then(|vm| {
            vm.attach_current_thread_with_config(
                attachment,
                Some(DEFAULT_LOCAL_FRAME_CAPACITY),
                |env| {
                    let told = self.call(env, callback);
                    if env.exception_check() {
                        env.exception_describe();
                        env.exception_clear();
                    }
                    told
                },
            )
        });
        told.map_err(|error| error.to_string())
    }

    fn call(&self, env: &mut Env<'_>, callback: &Callback) -> Result<()> {
        let Some(driver) = self.driver.upgrade_local(env)? else { return Ok(()) };
        let scheduler = jni_sig!("Lorg/apache/mesos/Scheduler;");
        let scheduler = env.get_field(&driver, jni_str!("scheduler"), scheduler)?.into_object()?;
        // method(more arguments: their types)
        macro_rules! call {
            ($name:literal $(, $argument:expr => $type:tt)*) => {
                env.call_method(
                    &scheduler,
                    jni_str!($name),
                    jni_sig!((driver: "org.apache.mesos.SchedulerDriver" $(, more: $type)*)),
                    &[(&driver).into() $(, $argument.into())*],
                )
                .map(drop)
            };
        }
        match callback {
            Callback::Registered { framework_id, master_info } => {
                let framework_id = self.framework_id.parse(env, framework_id)?;
                let master_info = self.master_info.parse(env, master_info)?;
                call!(
                    "registered",
                    &framework_id => "org.apache.mesos.Protos$FrameworkID",
                    &master_info => "org.apache.mesos.Protos$MasterInfo"
                )
            }
            Callback::Reregistered { master_info } => {
                let master_info = self.master_info.parse(env, master_info)?;
                call!("reregistered", &master_info => "org.apache.mesos.Protos$MasterInfo")
            }
            Callback::Disconnected => call!("disconnected"),
            Callback::ResourceOffers(offers) => {
                let list = self.list_of_offers(env, offers)?;
                call!("resourceOffers", &list => "java.util.List")
            }
            Callback::OfferRescinded(offer_id) => {
                let offer_id = self.offer_id.parse(env, offer_id)?;
                call!("offerRescinded", &offer_id => "org.apache.mesos.Protos$OfferID")
            }
            Callback::StatusUpdate(status) => {
                let status = self.task_status.parse(env, status)?;
                call!("statusUpdate", &status => "org.apache.mesos.Protos$TaskStatus")
            }
            Callback::FrameworkMessage { executor_id, agent_id, data } => {
                let executor_id = self.executor_id.parse(env, executor_id)?;
                let agent_id = self.agent_id.parse(env, agent_id)?;
                let data = env.byte_array_from_slice(data)?;
                call!(
                    "frameworkMessage",
                    &executor_id => "org.apache.mesos.Protos$ExecutorID",
                    &agent_id => "org.apache.mesos.Protos$SlaveID",
                    &data => [jbyte]
                )
            }
            Callback::SlaveLost(agent_id) => {
                let agent_id = self.agent_id.parse(env, agent_id)?;
                call!("slaveLost", &agent_id => "org.apache.mesos.Protos$SlaveID")
            }
            Callback::ExecutorLost { executor_id, agent_id, status } => {
                let executor_id = self.executor_id.parse(env, executor_id)?;
                let agent_id = self.agent_id.parse(env, agent_id)?;
                call!(
                    "executorLost",
                    &executor_id => "org.apache.mesos.Protos$ExecutorID",
                    &agent_id => "org.apache.mesos.Protos$SlaveID",
                    *status => jint
                )
            }
            Callback::Error(message) => {
                let message = env.new_string(message)?;
                call!("error", &message => "java.lang.String")
            }
        }
    }

    fn list_of_offers<'l>(&self, env: &mut Env<'l>, offers: &[Opaque]) -> Result<JObject<'l>> {
        let class = jni_str!("java/util/ArrayList");
        let list = env.new_object(class, jni_sig!("()V"), &[])?;
        for offer in offers {
            env.with_local_frame(8, |env| {
                let offer = self.offer.parse(env, offer)?;
                let signature = jni_sig!("(Ljava/lang/Object;)Z");
                env.call_method(&list, jni_str!("add"), signature, &[(&offer).into()]).map(drop)
            })?;
        }
        Ok(list)
    }
}
