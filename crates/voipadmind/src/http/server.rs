use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use hyper_util::rt::TokioTimer;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tower_http::metrics::InFlightRequestsLayer;
use tower_http::metrics::in_flight_requests::InFlightRequestsCounter;

use crate::config;

/// How long requests in progress may take once a stop was asked for.
pub const DRAIN: Duration = Duration::from_secs(10);

/// How long, of that, the rest of a header that began to arrive. It is no request yet: nothing is lost with it.
const DRAIN_HEADERS: Duration = Duration::from_secs(1);
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(50);

/// Takes the port now, so that a port already in use is an error before anything is started.
///
/// # Errors
/// Names the address, the setting and the cure.
pub fn bind(server: &config::Server) -> io::Result<TcpListener> {
    let address = SocketAddr::new(server.host, server.port.get() as u16);
    let listener = TcpListener::bind(address).map_err(|e| {
        let cure = match e.kind() {
            io::ErrorKind::AddrInUse => format!(
                "another program holds it: stop it ('ss -ltnp sport = :{}' names it) or set server.port",
                address.port()
            ),
            io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address: mend server.host".to_owned()
            }
            _ => "mend server.host and server.port".to_owned(),
        };
        io::Error::new(e.kind(), format!("cannot listen on {address}: {e}; {cure}"))
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves until `stop` resolves, then drains: for [`DRAIN`] while a request is worked on, else for [`DRAIN_HEADERS`].
///
/// axum's own `serve` has no header timer: a connection that never sends a request would hold the shutdown.
///
/// # Errors
/// Only a listener that breaks.
pub async fn serve(
    listener: TcpListener,
    read_timeout: Duration,
    router: Router,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let handle = Handle::new();
    let mut server = axum_server::from_tcp(listener)?.handle(handle.clone());
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(read_timeout);
    let (count, in_progress) = InFlightRequestsLayer::pair();
    let service = router.layer(count).into_make_service_with_connect_info::<SocketAddr>();
    let mut serving = std::pin::pin!(server.serve(service));
    tokio::select! {
        ended = &mut serving => return ended,
        () = stop => handle.graceful_shutdown(Some(DRAIN)),
    }
    tokio::select! {
        ended = &mut serving => return ended,
        () = requests_end(&in_progress) => handle.shutdown(),
    }
    serving.await
}

/// What connections are left then stalled in a header, which hyper's graceful end waits for.
async fn requests_end(in_progress: &InFlightRequestsCounter) {
    sleep(DRAIN_HEADERS).await;
    let mut look = interval(DRAIN_LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while in_progress.get() > 0 {
        look.tick().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn a_stop_waits_for_requests_but_not_for_a_header_that_stalls() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (began, go_on, stop) =
            (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let handler = {
            let (began, go_on) = (began.clone(), go_on.clone());
            async move || {
                began.notify_one();
                go_on.notified().await;
                "done"
            }
        };
        let router = Router::new().route("/slow", get(handler));
        let told = stop.clone();
        let serving = tokio::spawn(async move {
            serve(listener, Duration::from_secs(60), router, async move { told.notified().await }).await
        });
        let mut stalled = TcpStream::connect(address).await.unwrap();
        stalled.write_all(b"GET /slow HTTP/1.1\r\nHo").await.unwrap();
        let mut asking = TcpStream::connect(address).await.unwrap();
        asking.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        began.notified().await;

        let stopped = Instant::now();
        stop.notify_one();
        // Past the headers' time, a request that is worked on holds the stop.
        sleep(DRAIN_HEADERS + 4 * DRAIN_LOOK_EVERY).await;
        assert!(!serving.is_finished());
        go_on.notify_one();
        let mut answer = String::new();
        asking.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
        serving.await.unwrap().unwrap();
        assert!(stopped.elapsed() < DRAIN / 2, "{:?}", stopped.elapsed());
    }
}
