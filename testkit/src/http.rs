//! Requests, as the servers of the tests read them.

use std::io::{BufRead as _, BufReader, Read};

use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// GET, POST …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The head's fields in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl HttpRequest {
    /// Reads one with all of its body. None when the other side goes away or sends something else.
    pub fn read(stream: impl Read) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut first = String::new();
        reader.read_line(&mut first).ok()?;
        let mut words = first.split_whitespace().map(str::to_owned);
        let (method, path) = (words.next()?, words.next()?);
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let mut request = Self { method, path, headers, body: String::new() };
        let length = request.header("content-length").map_or(Some(0), |length| length.parse().ok())?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        request.body = String::from_utf8_lossy(&body).into_owned();
        Some(request)
    }

    /// The first field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// What the payload of a JWS says, as requests to a CA have it (RFC 8555 section 6.2); null when there is none.
    pub fn payload(&self) -> Value {
        let jws: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let octets = jws["payload"].as_str().and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok());
        serde_json::from_slice(&octets.unwrap_or_default()).unwrap_or_default()
    }
}
