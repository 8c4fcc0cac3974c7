//! An answer, and how it goes over the wire.

use serde_json::{Value, json};

/// What the CA answers.
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Header fields besides Content-Length.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How it is sent.
    pub delivery: Delivery,
}

/// How an answer is sent.
pub enum Delivery {
    /// As it should be.
    Whole,
    /// These bytes instead, and an orderly end.
    Raw(Vec<u8>),
    /// Up to there, and then the connection is reset.
    Reset(Cut),
    /// The same, with so many blanks before the body.
    Padded(u64),
    /// The head, and then a byte of the body now and then, without end.
    Slowly,
    /// The head without a length, and then the body again and again.
    Endlessly,
}

/// Where a connection is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Before the first byte.
    Before,
    /// In the status line.
    StatusLine,
    /// In the header fields.
    Head,
    /// In the body.
    Body,
    /// After so many bytes.
    After(usize),
}

impl Reply {
    /// A good answer.
    pub(super) fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body: body.to_string().into_bytes(), delivery: Delivery::Whole }
    }

    /// The same with a header field more.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.header(name, value);
        self
    }

    /// A header field more.
    pub fn header(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// Takes a header field away.
    pub fn without(&mut self, name: &str) {
        self.headers.retain(|(present, _)| !present.eq_ignore_ascii_case(name));
    }

    /// Puts `value` at a JSON pointer (RFC 6901) into the body; the place above it has to exist.
    pub fn set(&mut self, pointer: &str, value: Value) {
        let (above, last) = pointer.rsplit_once('/').unwrap();
        self.change(|body| body.pointer_mut(above).unwrap()[last] = value);
    }

    /// Takes a member out of the body.
    pub fn remove(&mut self, member: &str) {
        self.change(|body| drop(body.as_object_mut().unwrap().remove(member)));
    }

    /// Changes the body.
    pub fn change(&mut self, change: impl FnOnce(&mut Value)) {
        let mut body = serde_json::from_slice(&self.body).unwrap();
        change(&mut body);
        self.body = body.to_string().into_bytes();
    }

    /// A problem document instead (RFC 8555 section 6.7).
    pub fn refuse(&mut self, status: u16, kind: &str, detail: &str) {
        self.status = status;
        self.without("Content-Type");
        self.header("Content-Type", "application/problem+json");
        let document = json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail });
        self.body = document.to_string().into_bytes();
    }

    /// A redirect instead.
    pub fn redirect(&mut self, status: u16, target: &str) {
        self.status = status;
        self.without("Location");
        self.header("Location", target);
        self.body.clear();
    }

    /// The bytes of it.
    pub fn bytes(&self) -> Vec<u8> {
        let length = format!("Content-Length: {}\r\n", self.body.len());
        [self.head(&length).as_bytes(), &self.body].concat()
    }

    /// The bytes with the head changed as text, a Content-Length of the body in it.
    pub fn bytes_with_head(&self, change: impl FnOnce(String) -> Vec<u8>) -> Vec<u8> {
        let length = format!("Content-Length: {}\r\n", self.body.len());
        [change(self.head(&length)), self.body.clone()].concat()
    }

    pub(super) fn head(&self, length: &str) -> String {
        let fields: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("HTTP/1.1 {} X\r\nConnection: close\r\n{length}{fields}\r\n", self.status)
    }

    /// The bytes up to where the connection is reset.
    pub(super) fn until(&self, cut: Cut) -> Vec<u8> {
        let mut bytes = self.bytes();
        let head = bytes.len() - self.body.len();
        bytes.truncate(match cut {
            Cut::Before => 0,
            Cut::StatusLine => 9,
            Cut::Head => head - 8,
            Cut::Body => head + self.body.len() / 2,
            Cut::After(count) => count,
        });
        bytes
    }
}
