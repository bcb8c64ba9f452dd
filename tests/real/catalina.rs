//! A Tomcat with an application that is kept beside this file: charts and letters for nurses who have signed in by a form.
//!
//! It starts in a second, and is one for all tests that run at the time: whoever comes first starts it, and it ends with the
//! last of them.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::client::Request;
use crate::process::{PATIENCE, Process, dying_with_us, free_port, pause, scratch};

/// Where Debian keeps what all instances share.
const HOME: &str = "/usr/share/tomcat10";

/// What is behind a name in the password of whoever has it.
const PASSWORD: &str = "-pass";

pub struct Tomcat {
    pub address: SocketAddr,
    /// What ends the thread that owns the process, and that thread.
    owner: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Tomcat {
    /// The one that is there, or a new one.
    pub fn shared() -> Arc<Tomcat> {
        static THERE: Mutex<Weak<Tomcat>> = Mutex::new(Weak::new());
        let mut there = THERE.lock().unwrap_or_else(PoisonError::into_inner);
        let tomcat = there.upgrade().unwrap_or_else(|| Arc::new(Tomcat::start()));
        *there = Arc::downgrade(&tomcat);
        tomcat
    }

    /// A process ends with the thread that started it. The tests' own come and go, so it has one to itself.
    fn start() -> Tomcat {
        let (ready, address) = channel();
        let (end, ended) = channel();
        let thread = std::thread::spawn(move || own(&ready, &ended));
        let address = address.recv_timeout(3 * PATIENCE).expect("Tomcat starts; what it says is above");
        Tomcat { address, owner: Some((end, thread)) }
    }

    /// Signs in as a browser does, past Stent: the form, its answer, the page that was asked for. The session's cookie.
    pub fn sign_in(&self, user: &str) -> String {
        let form = Request::get("/letters/7.html").ask(self.address);
        assert!(form.text().contains("j_security_check"), "{}", form.text());
        let first = session(form.cookie("JSESSIONID").as_deref());
        let filled = format!("j_username={user}&j_password={user}{PASSWORD}");
        let welcome = Request::new("POST", "/j_security_check").with("Cookie", &first).form(&filled).ask(self.address);
        assert_eq!((welcome.status, welcome.header("location")), (303, "/letters/7.html"), "{}", welcome.text());
        // A session has another id once somebody has signed in by it.
        let session = session(welcome.cookie("JSESSIONID").as_deref());
        Request::get("/letters/7.html").with("Cookie", &session).ask(self.address);
        session
    }

    /// A session of somebody who was shown the form and went no further.
    pub fn hesitate(&self) -> String {
        session(Request::get("/letters/7.html").ask(self.address).cookie("JSESSIONID").as_deref())
    }

    /// Ends a session, past Stent.
    pub fn end(&self, session: &str) {
        let answer = Request::new("POST", "/logout").with("Cookie", session).ask(self.address);
        assert_eq!((answer.status, answer.text().as_str()), (200, "signed out\n"));
    }
}

impl Drop for Tomcat {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.owner.take() {
            drop(end);
            let _ = thread.join();
        }
    }
}

fn session(id: Option<&str>) -> String {
    format!("JSESSIONID={}", id.expect("it sets a session's cookie"))
}

/// Starts it, tells where it answers, and holds it until nobody wants it any more.
fn own(ready: &Sender<SocketAddr>, ended: &Receiver<()>) {
    // Somebody else may take the port meanwhile.
    for _ in 0..5 {
        let base = base();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut process = run(base.path(), address);
        if answers(&mut process, base.path(), address) {
            let _ = ready.send(address);
            // There is never a message: it ends when the other side is dropped.
            let _ = ended.recv();
            return;
        }
        eprintln!("Tomcat did not start:\n{}", log(base.path()));
    }
}

/// A folder of its own, in which it may write; the application stays where it is.
fn base() -> tempfile::TempDir {
    let base = scratch();
    for folder in ["conf", "logs", "temp", "work"] {
        std::fs::create_dir(base.path().join(folder)).expect("a scratch folder can be written");
    }
    for file in ["server.xml", "tomcat-users.xml"] {
        std::fs::copy(kept("conf").join(file), base.path().join("conf").join(file)).expect("it can be copied");
    }
    std::os::unix::fs::symlink(kept("app"), base.path().join("app")).expect("a link can be made");
    base
}

fn kept(what: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/tomcat").join(what)
}

fn run(base: &Path, address: SocketAddr) -> Process {
    let program = Path::new(HOME).join("bin/catalina.sh");
    assert!(program.exists(), "the tests need Tomcat at {HOME}: run tests/setup once");
    let mut command = dying_with_us(&program);
    let options = format!("-Dstent.port={} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx128m", address.port());
    let log = File::create(base.join("log")).expect("a scratch folder can be written");
    command
        // It becomes the JVM, so that the one is the other's handle.
        .arg("run")
        .env("CATALINA_HOME", HOME)
        .env("CATALINA_BASE", base)
        .env("CATALINA_OPTS", options)
        .env_remove("JAVA_OPTS")
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file"))
        .stderr(log);
    Process::start(command)
}

fn answers(process: &mut Process, base: &Path, address: SocketAddr) -> bool {
    let until = Instant::now() + PATIENCE;
    while process.is_running() {
        assert!(Instant::now() < until, "Tomcat takes too long to start:\n{}", log(base));
        if TcpStream::connect(address).is_ok() {
            // It listens before it is ready, and answers once it is.
            return Request::get("/login.html").ask(address).status == 200 && process.is_running();
        }
        pause();
    }
    false
}

fn log(base: &Path) -> String {
    std::fs::read_to_string(base.join("log")).unwrap_or_default()
}
