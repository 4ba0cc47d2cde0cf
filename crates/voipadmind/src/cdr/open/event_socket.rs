//! mod_event_socket's protocol, as a client of this node's FreeSWITCH: headers, a blank line, a body of `Content-Length`.

use std::io::{Error, ErrorKind, Result};
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// One header line, and all of a message.
const LINE_BYTES_MAX: u64 = 8 << 10;
const HEADERS_MAX: usize = 64;
/// `show channels` has about 1 KB a channel, an event 10 KB.
const BODY_BYTES_MAX: usize = 16 << 20;
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A connection that was let in.
pub struct EventSocket {
    stream: BufReader<TcpStream>,
}

/// What FreeSWITCH sends.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// `Content-Type`.
    pub kind: String,
    /// `Reply-Text`, of an answer to a command.
    pub reply: String,
    pub body: Vec<u8>,
}

impl EventSocket {
    /// # Errors
    /// Nobody listens, or the password is wrong.
    pub async fn connect(port: u16, password: &str) -> Result<Self> {
        let connected = timeout(ANSWER_WITHIN, TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await;
        let mut socket = Self { stream: BufReader::new(connected.map_err(|_| silent())??) };
        socket.expect("auth/request").await?;
        socket.command(&format!("auth {password}")).await.map_err(|error| {
            Error::new(error.kind(), format!("{error} (is freeswitch.esl_password event_socket.conf's?)"))
        })?;
        Ok(socket)
    }

    /// A command that is answered `+OK …`.
    ///
    /// # Errors
    /// Refused, or the connection is gone.
    pub async fn command(&mut self, command: &str) -> Result<()> {
        self.send(command).await?;
        let reply = self.expect("command/reply").await?.reply;
        if reply.starts_with("+OK") {
            Ok(())
        } else {
            Err(Error::other(format!("FreeSWITCH says {reply:?}")))
        }
    }

    /// What an API command prints. For a connection that has no events: they would come in between.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn api(&mut self, command: &str) -> Result<Vec<u8>> {
        self.send(&format!("api {command}")).await?;
        Ok(self.expect("api/response").await?.body)
    }

    async fn send(&mut self, command: &str) -> Result<()> {
        // A line feed would end the command and begin another one.
        let line = command.replace(['\r', '\n'], " ");
        self.stream.get_mut().write_all(format!("{line}\n\n").as_bytes()).await
    }

    async fn expect(&mut self, kind: &str) -> Result<Message> {
        let message = timeout(ANSWER_WITHIN, self.next()).await.map_err(|_| silent())??;
        if message.kind == kind {
            Ok(message)
        } else {
            Err(invalid(&format!("{} instead of {kind}", message.kind)))
        }
    }

    /// The next message, whenever it comes.
    ///
    /// # Errors
    /// The connection is gone, or what came is not the protocol.
    pub async fn next(&mut self) -> Result<Message> {
        read(&mut self.stream).await
    }
}

async fn read(stream: &mut (impl AsyncBufRead + Unpin)) -> Result<Message> {
    let mut message = Message { kind: String::new(), reply: String::new(), body: Vec::new() };
    let mut length = 0;
    for _ in 0..HEADERS_MAX {
        let mut line = String::new();
        (&mut *stream).take(LINE_BYTES_MAX).read_line(&mut line).await?;
        if !line.ends_with('\n') {
            return Err(if line.is_empty() {
                ErrorKind::UnexpectedEof.into()
            } else {
                invalid("a line without end")
            });
        }
        let line = line.trim_end();
        match line.split_once(": ") {
            Some(("Content-Type", kind)) => kind.clone_into(&mut message.kind),
            Some(("Reply-Text", reply)) => reply.clone_into(&mut message.reply),
            Some(("Content-Length", bytes)) => {
                length = bytes.parse().map_err(|_| invalid("a length that is no number"))?;
            }
            Some(_) => {}
            None if line.is_empty() && length > BODY_BYTES_MAX => {
                return Err(invalid("a body without bounds"));
            }
            None if line.is_empty() => {
                message.body = vec![0; length];
                stream.read_exact(&mut message.body).await?;
                return Ok(message);
            }
            None => {}
        }
    }
    Err(invalid("headers without end"))
}

fn silent() -> Error {
    Error::new(ErrorKind::TimedOut, "FreeSWITCH did not answer in time")
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_all(mut bytes: &[u8]) -> Vec<Result<Message>> {
        let mut messages = Vec::new();
        loop {
            let message = read(&mut bytes).await;
            let end = message.is_err();
            messages.push(message);
            if end {
                return messages;
            }
        }
    }

    #[tokio::test]
    async fn messages_are_read_one_by_one() {
        let bytes = b"Content-Type: auth/request\n\nContent-Type: command/reply\nReply-Text: +OK accepted\n\n\
            Content-Length: 4\nContent-Type: text/event-json\n\n{\n\n}Content-Type: text/disconnect-notice\n\n";
        let message = |kind: &str, reply: &str, body: &[u8]| Message {
            kind: kind.to_owned(),
            reply: reply.to_owned(),
            body: body.to_vec(),
        };
        let mut read = read_all(bytes).await;
        assert_eq!(read.pop().unwrap().unwrap_err().kind(), ErrorKind::UnexpectedEof);
        let read: Vec<Message> = read.into_iter().map(Result::unwrap).collect();
        assert_eq!(
            read,
            [
                message("auth/request", "", b""),
                message("command/reply", "+OK accepted", b""),
                message("text/event-json", "", b"{\n\n}"),
                message("text/disconnect-notice", "", b""),
            ]
        );
    }

    #[tokio::test]
    async fn what_has_no_bounds_is_refused() {
        let long = [b"X: ".as_slice(), &[b'x'; 9_000]].concat();
        let many = "X: y\n".repeat(100).into_bytes();
        for bytes in
            [long, many, b"Content-Length: 99999999999\n\n".to_vec(), b"Content-Length: x\n\n".to_vec()]
        {
            let refused = read_all(&bytes).await.pop().unwrap().unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidData, "{refused}");
        }
    }
}
