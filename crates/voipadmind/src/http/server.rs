use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use hyper_util::rt::TokioTimer;

use crate::config;

/// How long requests in progress may take once a stop was asked for.
pub const DRAIN: Duration = Duration::from_secs(10);

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

/// Serves until `stop` resolves, then drains for [`DRAIN`].
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
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let mut serving = std::pin::pin!(server.serve(service));
    tokio::select! {
        ended = &mut serving => return ended,
        () = stop => handle.graceful_shutdown(Some(DRAIN)),
    }
    serving.await
}
