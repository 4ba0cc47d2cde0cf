//! A door between FreeSWITCH and voipadmind that can be shut.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub struct Door {
    pub port: u16,
    shut: Arc<AtomicBool>,
}

impl Door {
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let door = Self { port: listener.local_addr().unwrap().port(), shut: Arc::default() };
        let shut = Arc::clone(&door.shut);
        std::thread::spawn(move || {
            for inside in listener.incoming().flatten() {
                // Dropped, the connection is closed: a post that failed.
                if !shut.load(Ordering::SeqCst)
                    && let Ok(outside) = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                {
                    for (mut from, mut to) in
                        [(inside.try_clone(), outside.try_clone()), (Ok(outside), Ok(inside))]
                            .map(|(from, to)| (from.unwrap(), to.unwrap()))
                    {
                        std::thread::spawn(move || {
                            let _ = io::copy(&mut from, &mut to);
                            let _ = to.shutdown(std::net::Shutdown::Write);
                        });
                    }
                }
            }
        });
        door
    }

    pub fn shut(&self, shut: bool) {
        self.shut.store(shut, Ordering::SeqCst);
    }
}
