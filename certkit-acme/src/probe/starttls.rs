//! From plain text to TLS: SMTP (RFC 3207), IMAP (RFC 9051 section 6.2.1) and POP3 (RFC 2595 section 4).
//!
//! What the other side says is read in lines with bounds on each and on all, and nothing that it sends in plain text after
//! it has agreed to TLS is believed (CVE-2021-38371 and its kind): the connection is given up then.

use std::net::IpAddr;

use certkit_core::{EndpointProtocol, escape};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// RFC 5321 section 4.5.3.1.5 allows 512, RFC 9051 section 4 says nothing; the longest lists of capabilities are 1 KiB.
const LONGEST_LINE: usize = 4096;
/// Greeting, banner and extensions of the most talkative servers.
const MOST_LINES: usize = 100;
/// So much of what it said is shown.
const SHOWN: usize = 120;

/// Brings a connection to the point where TLS begins. The time is bounded by the caller. An error says what went wrong,
/// escaped.
pub(super) async fn upgrade<S>(stream: &mut S, protocol: EndpointProtocol, own: Option<IpAddr>) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut talk = Talk { stream, buffer: Vec::new(), lines: 0 };
    match protocol {
        EndpointProtocol::Smtp => talk.smtp(own).await?,
        EndpointProtocol::Imap => talk.imap().await?,
        EndpointProtocol::Pop3 => talk.pop3().await?,
        _ => return Ok(()),
    }
    if talk.buffer.is_empty() {
        Ok(())
    } else {
        Err("it sent plain text after it had agreed to TLS: somebody on the way may have put it there".to_owned())
    }
}

struct Talk<'a, S> {
    stream: &'a mut S,
    /// What was read and belongs to no line yet.
    buffer: Vec<u8>,
    lines: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<'_, S> {
    async fn smtp(&mut self, own: Option<IpAddr>) -> Result<(), String> {
        self.reply("220").await?;
        // An address literal (RFC 5321 section 4.1.3): some servers check a name.
        let who = match own {
            Some(IpAddr::V4(address)) => format!("[{address}]"),
            Some(IpAddr::V6(address)) => format!("[IPv6:{address}]"),
            None => "[127.0.0.1]".to_owned(),
        };
        self.say(&format!("EHLO {who}")).await?;
        let extensions = self.reply("250").await?;
        let offers = |line: &String| line.get(4..).is_some_and(|word| word.trim().eq_ignore_ascii_case("STARTTLS"));
        if !extensions.iter().any(offers) {
            return Err("it does not offer STARTTLS".to_owned());
        }
        self.say("STARTTLS").await?;
        self.reply("220").await.map(drop)
    }

    /// A reply of one or more lines (RFC 5321 section 4.2.1) with this code.
    async fn reply(&mut self, code: &str) -> Result<Vec<String>, String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await?;
            if !line.starts_with(code) {
                return Err(unexpected(&line));
            }
            let goes_on = line.as_bytes().get(3) == Some(&b'-');
            lines.push(line);
            if !goes_on {
                return Ok(lines);
            }
        }
    }

    async fn imap(&mut self) -> Result<(), String> {
        let greeting = self.line().await?;
        if begins(&greeting, "* PREAUTH") {
            return Err("it takes us for somebody who is logged in already, and then there is no STARTTLS".to_owned());
        }
        if !begins(&greeting, "* OK") {
            return Err(unexpected(&greeting));
        }
        self.say("a1 STARTTLS").await?;
        loop {
            let line = self.line().await?;
            if begins(&line, "a1 OK") {
                return Ok(());
            }
            // Untagged lines may come at any time.
            if !line.starts_with("* ") || begins(&line, "* BYE") {
                return Err(unexpected(&line));
            }
        }
    }

    async fn pop3(&mut self) -> Result<(), String> {
        for command in [None, Some("STLS")] {
            if let Some(command) = command {
                self.say(command).await?;
            }
            let line = self.line().await?;
            if !begins(&line, "+OK") {
                return Err(unexpected(&line));
            }
        }
        Ok(())
    }

    async fn say(&mut self, line: &str) -> Result<(), String> {
        // What comes before the question is no answer to it.
        if !self.buffer.is_empty() {
            return Err("it goes on talking without being asked".to_owned());
        }
        let failed = |error: std::io::Error| escape(&error.to_string()).into_owned();
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await.map_err(failed)?;
        self.stream.flush().await.map_err(failed)
    }

    /// The next line without its end; what is not UTF-8 in it is replaced.
    async fn line(&mut self) -> Result<String, String> {
        self.lines += 1;
        if self.lines > MOST_LINES {
            return Err(format!("it sent more than {MOST_LINES} lines"));
        }
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(end + 1);
                let line = std::mem::replace(&mut self.buffer, rest);
                return Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.buffer.len() > LONGEST_LINE {
                return Err(format!("it sent a line of more than {LONGEST_LINE} bytes"));
            }
            let mut chunk = [0; 1024];
            match self.stream.read(&mut chunk).await {
                Ok(0) if self.buffer.is_empty() && self.lines == 1 => {
                    return Err("it closed the connection without a word".to_owned());
                }
                Ok(0) => return Err("it closed the connection".to_owned()),
                Ok(count) => self.buffer.extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(error) => return Err(escape(&error.to_string()).into_owned()),
            }
        }
    }
}

fn begins(line: &str, with: &str) -> bool {
    line.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with))
        && line.as_bytes().get(with.len()).is_none_or(|next| !next.is_ascii_alphanumeric())
}

fn unexpected(line: &str) -> String {
    let shown: String = escape(line).chars().take(SHOWN).collect();
    format!("it answered `{shown}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server says is one piece for each thing it was told; its greeting comes first.
    async fn against(protocol: EndpointProtocol, said: &[&str]) -> Result<(), String> {
        let (mut ours, mut theirs) = tokio::io::duplex(1 << 16);
        let said: Vec<String> = said.iter().map(|piece| (*piece).to_owned()).collect();
        let server = tokio::spawn(async move {
            let mut heard = [0; 256];
            for (at, piece) in said.iter().enumerate() {
                if at > 0 && theirs.read(&mut heard).await.is_ok_and(|count| count == 0) {
                    break;
                }
                if theirs.write_all(piece.as_bytes()).await.is_err() {
                    break;
                }
            }
        });
        let result = upgrade(&mut ours, protocol, None).await;
        drop(ours);
        server.await.unwrap();
        result
    }

    const EHLO: &str = "250-mail.example\r\n250-SIZE 1000\r\n250-starttls\r\n250 HELP\r\n";

    #[tokio::test]
    async fn servers_that_behave_are_brought_to_tls() {
        use EndpointProtocol::{Imap, Pop3, Smtp};
        for (protocol, said) in [
            (Smtp, &["220-mail.example\r\n220-no spam\r\n220 ESMTP\r\n", EHLO, "220 2.0.0 go\r\n"][..]),
            (Smtp, &["220 mail.example\n", "250 STARTTLS\n", "220\n"]),
            (Imap, &["* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n", "* CAPABILITY x\r\na1 OK begin\r\n"]),
            (Imap, &["* ok hi\r\n", "A1 ok\r\n"]),
            (Pop3, &["+OK ready <1.2@x>\r\n", "+OK begin\r\n"]),
        ] {
            assert_eq!(against(protocol, said).await, Ok(()), "{said:?}");
        }
    }

    #[tokio::test]
    async fn servers_that_refuse_are_quoted_without_their_control_characters() {
        use EndpointProtocol::{Imap, Pop3, Smtp};
        for (protocol, said, expected) in [
            (Smtp, &["554 no\u{1b}[2J service\r\n"][..], "it answered `554 no\\u{1b}[2J service`"),
            (Smtp, &["220 x\r\n", "250 HELP\r\n"], "it does not offer STARTTLS"),
            (Smtp, &["220 x\r\n", EHLO, "454 not now\r\n"], "it answered `454 not now`"),
            (Smtp, &["SSH-2.0-x\r\n"], "it answered `SSH-2.0-x`"),
            (Imap, &["* PREAUTH hello\r\n"], "there is no STARTTLS"),
            (Imap, &["* BYE full\r\n"], "it answered `* BYE full`"),
            (Imap, &["* OK x\r\n", "a1 BAD what\r\n"], "it answered `a1 BAD what`"),
            (Imap, &["* OKAY\r\n"], "it answered `* OKAY`"),
            (Pop3, &["-ERR in use\r\n"], "it answered `-ERR in use`"),
            (Pop3, &["+OK\r\n", "-ERR unknown\r\n"], "it answered `-ERR unknown`"),
            (Smtp, &["220 x\r\n", ""], "it closed the connection"),
            (Smtp, &[""], "it closed the connection without a word"),
        ] {
            let told = against(protocol, said).await.unwrap_err();
            assert!(told.contains(expected), "{said:?}: {told}");
        }
    }

    #[tokio::test]
    async fn text_that_was_put_behind_the_agreement_is_not_believed() {
        use EndpointProtocol::{Imap, Pop3, Smtp};
        for (protocol, said) in [
            (Smtp, &["220 x\r\n", EHLO, "220 go\r\n250 injected\r\n"][..]),
            (Imap, &["* OK x\r\n", "a1 OK begin\r\n* CAPABILITY injected\r\n"]),
            (Pop3, &["+OK\r\n", "+OK begin\r\n+OK injected\r\n"]),
        ] {
            let told = against(protocol, said).await.unwrap_err();
            assert!(told.contains("plain text after it had agreed to TLS"), "{told}");
        }
        let told = against(Smtp, &["220 x\r\n250-early\r\n250 STARTTLS\r\n", ""]).await.unwrap_err();
        assert!(told.contains("without being asked"), "{told}");
    }

    #[tokio::test]
    async fn talk_without_end_is_ended() {
        let endless = "220-more\r\n".repeat(200);
        let told = against(EndpointProtocol::Smtp, &[&endless]).await.unwrap_err();
        assert!(told.contains("more than 100 lines"), "{told}");
        let long = "x".repeat(10_000);
        let told = against(EndpointProtocol::Imap, &[&long]).await.unwrap_err();
        assert!(told.contains("a line of more than 4096 bytes"), "{told}");
    }
}
