//! A talk before TLS without a socket, for the fuzz target.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use certkit_core::EndpointProtocol;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::starttls::upgrade;

/// What became of a talk.
#[derive(Debug)]
pub struct Talked {
    /// What the other side was told.
    pub told: Vec<u8>,
    /// How many bytes of what it said were read.
    pub read: usize,
    /// How it ended.
    pub end: Result<(), String>,
}

/// A talk with a server that says these pieces one after the other, each as one packet, and then closes the connection.
pub async fn talk(protocol: EndpointProtocol, said: &[&[u8]]) -> Talked {
    let mut server =
        Server { said: said.iter().rev().map(|piece| piece.to_vec()).collect(), told: Vec::new(), read: 0 };
    let end = upgrade(&mut server, protocol, None).await;
    Talked { told: server.told, read: server.read, end }
}

struct Server {
    /// The next piece is the last.
    said: Vec<Vec<u8>>,
    told: Vec<u8>,
    read: usize,
}

impl AsyncRead for Server {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // A packet of nothing is none.
        while let Some(mut piece) = self.said.pop() {
            let rest = piece.split_off(buffer.remaining().min(piece.len()));
            if !rest.is_empty() {
                self.said.push(rest);
            }
            if !piece.is_empty() {
                self.read += piece.len();
                buffer.put_slice(&piece);
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Server {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.told.extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn end(input: &[u8]) -> Result<(), String> {
        let (protocol, said) = input.split_first().unwrap();
        let protocol =
            [EndpointProtocol::Smtp, EndpointProtocol::Imap, EndpointProtocol::Pop3][usize::from(*protocol % 3)];
        let packets: Vec<&[u8]> = said.split(|byte| *byte == 0).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(talk(protocol, &packets)).end
    }

    #[test]
    fn each_seed_ends_the_talk_where_it_is_to_end() {
        let injected = "it sent plain text after it had agreed to TLS: somebody on the way may have put it there";
        for (seed, expected) in [
            ("smtp", Ok(())),
            ("smtp-injected", Err(injected)),
            ("smtp-early", Err("it goes on talking without being asked")),
            ("smtp-refused", Err("it answered `454 not now \\u{1b}[2J`")),
            ("smtp-without", Err("it does not offer STARTTLS")),
            ("imap", Ok(())),
            ("imap-preauth", Err("it takes us for somebody who is logged in already, and then there is no STARTTLS")),
            ("imap-injected", Err(injected)),
            ("pop3", Ok(())),
            ("pop3-refused", Err("it answered `-ERR unknown \u{fffd}\u{fffd}`")),
        ] {
            let path = format!("{}/../fuzz/seeds/starttls_reply/{seed}", env!("CARGO_MANIFEST_DIR"));
            assert_eq!(end(&std::fs::read(path).unwrap()), expected.map_err(str::to_owned), "{seed}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_mail_server_says_is_safe_to_show(protocol: u8, said: Vec<u8>) {
            if let Err(why) = end(&[&[protocol][..], &said].concat()) {
                prop_assert!(!why.contains(char::is_control) && why.chars().count() <= 200, "{}", why);
            }
        }
    }
}
