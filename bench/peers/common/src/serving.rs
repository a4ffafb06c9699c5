//! Being a server that another process has started.

use std::future::Future;
use std::io::Read as _;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::Arguments;

/// Serves what `router` makes, with one thread, until this program's input ends.
///
/// # Panics
/// If that is not possible.
pub fn serve<F: Future<Output = Router>>(router: impl FnOnce(Arguments) -> F) {
    let arguments = Arguments::of_this_program();
    pin(arguments.cpu);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let router = router(arguments).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        announce(listener.local_addr().expect("an address").port());
        axum::serve(listener, router).with_graceful_shutdown(input_ends()).await.expect("serving");
    });
}

/// Stays on one processor, with every thread that is started from now on.
///
/// # Panics
/// If there is no such processor.
pub fn pin(cpu: Option<usize>) {
    if let Some(cpu) = cpu {
        let mut set = rustix::thread::CpuSet::new();
        set.set(cpu);
        rustix::thread::sched_setaffinity(None, &set).expect("the processor exists");
    }
}

/// Tells whoever started this program where it listens.
pub fn announce(port: u16) {
    println!("{{\"port\":{port}}}");
}

/// Resolves when this program's input ends: whoever started it is gone, or has no more use for it.
pub async fn input_ends() {
    let (sender, ended) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = sender.send(());
    });
    let _ = ended.await;
}
