//! `[[endpoint]]` tables.

use toml::de::{DeTable, DeValue};

use super::SettingsProblemCode as Code;
use super::document::{Lines, Reader, Value};
use super::keys::nearest;
use super::problem::shown;
use super::values::tables;
use super::{Origin, Sourced};
use crate::{Endpoint, EndpointProtocol, Identifier, LineageName};

/// The keys of a table; `host` has to be there.
const KEYS: [&str; 4] = ["host", "port", "protocol", "server_name"];

/// Reads the value of `endpoint`. What has a problem is left out.
pub(super) fn read(reader: &mut Reader, value: &Value<'_>, name: &LineageName) -> Vec<Sourced<Endpoint>> {
    let Some(tables) = tables(value) else {
        reader.wrong_type("endpoint", value, "a list of tables", "write `[[endpoint]]` above the keys of each");
        return Vec::new();
    };
    let mut endpoints: Vec<Sourced<Endpoint>> = Vec::new();
    for (place, table) in tables {
        let Some((endpoint, at)) = read_one(reader, place, table) else { continue };
        if let Some(other) = endpoints.iter().find(|other| other.value.is_same_place(&endpoint)) {
            let what = format!("the same endpoint stands in line {}", other.origin.line().unwrap_or_default());
            reader.report(Code::Duplicate, at.span(), "endpoint", what, "remove one of them");
            continue;
        }
        let line = reader.line(at.span().start);
        endpoints.push(Sourced::new(endpoint, Origin::LineageFile { name: name.clone(), line }));
    }
    endpoints
}

/// The endpoint, and the value that names its host.
fn read_one<'v, 't>(
    reader: &mut Reader,
    place: &'v Value<'t>,
    table: &'v DeTable<'t>,
) -> Option<(Endpoint, &'v Value<'t>)> {
    let before = reader.count();
    for (key, _) in table {
        let name = key.get_ref().as_ref();
        if !KEYS.contains(&name) {
            let cure = match nearest(name, KEYS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the keys are: {}", KEYS.join(", ")),
            };
            let what = format!("`{}` is not known in an [[endpoint]] table", shown(name));
            reader.report(Code::UnknownKey, key.span(), &format!("endpoint.{name}"), what, cure);
        }
    }
    let protocol = table.get("protocol").map(|value| protocol(reader, value));
    let port = table.get("port").map(|value| port(reader, value));
    let server_name = table.get("server_name").map(|value| name(reader, "endpoint.server_name", value));
    let Some(host_value) = table.get("host") else {
        if reader.count() == before {
            let cure = "write for example `host = \"mail.example.org:25\"`";
            reader.report(Code::BadValue, place.span(), "endpoint", "an [[endpoint]] table names no host", cure);
        }
        return None;
    };
    let (host, port_of_host) = host(reader, host_value)?;
    if port_of_host.is_some() && port.is_some() {
        let what = "the port stands in `host` and in `port`";
        reader.report(Code::Duplicate, host_value.span(), "endpoint.port", what, "leave one of them out");
    }
    if reader.count() > before {
        return None;
    }
    let protocol = protocol.flatten().unwrap_or_default();
    let port = port.flatten().or(port_of_host).unwrap_or_else(|| protocol.usual_port());
    let mut endpoint = Endpoint::new(host, port).speaking(protocol);
    endpoint.server_name = server_name.flatten();
    Some((endpoint, host_value))
}

/// The host and, where it is written so, the port.
fn host(reader: &mut Reader, value: &Value<'_>) -> Option<(String, Option<u16>)> {
    let key = "endpoint.host";
    let text = reader.text(key, value, Lines::One)?;
    let cure = "write a name or an address, with or without a port: \"example.org\", \"192.0.2.1:8443\", \"[2001:db8::1]:443\"";
    let found = Endpoint::split(text.trim()).filter(|(_, port)| *port != Some(0));
    let identifier = found.and_then(|(host, _)| Identifier::parse(host).ok()).filter(|one| !one.is_wildcard());
    match (found, identifier) {
        (Some((_, port)), Some(identifier)) => Some((identifier.to_string(), port)),
        _ => {
            reader.bad(key, value, format!("`{key}` cannot be `{}`", shown(text)), cure);
            None
        }
    }
}

fn port(reader: &mut Reader, value: &Value<'_>) -> Option<u16> {
    reader.number("endpoint.port", value, 1..=u64::from(u16::MAX)).and_then(|port| port.try_into().ok())
}

fn protocol(reader: &mut Reader, value: &Value<'_>) -> Option<EndpointProtocol> {
    let key = "endpoint.protocol";
    let words = EndpointProtocol::ALL.map(EndpointProtocol::as_str);
    let text = reader.text(key, value, Lines::One)?;
    let found = EndpointProtocol::ALL.into_iter().find(|one| one.as_str() == text);
    if found.is_none() {
        let cure = match (text, nearest(text, words)) {
            // TLS from the first byte, whatever is spoken after it.
            ("https" | "smtps" | "submissions" | "imaps" | "pop3s", _) => {
                "write `protocol = \"tls\"` for TLS from the first byte".to_owned()
            }
            ("starttls", _) => "write what is spoken before STARTTLS: smtp, imap or pop3".to_owned(),
            (_, Some(near)) => format!("did you mean `protocol = \"{near}\"`?"),
            _ => format!("the protocols are: {}", words.join(", ")),
        };
        reader.bad(key, value, format!("`{key}` cannot be `{}`", shown(text)), cure);
    }
    found
}

/// A DNS name to ask for.
fn name(reader: &mut Reader, key: &str, value: &Value<'_>) -> Option<String> {
    if !matches!(value.get_ref(), DeValue::String(_)) {
        reader.wrong_type(key, value, "a text", "write `server_name = \"www.example.org\"`");
        return None;
    }
    let text = reader.text(key, value, Lines::One)?;
    match Identifier::parse(text.trim()) {
        Ok(Identifier::Dns(name)) if !name.is_wildcard() => Some(name.to_string()),
        _ => {
            let cure = "write a DNS name without wildcard, for example \"www.example.org\"";
            reader.bad(key, value, format!("`{key}` cannot be `{}`", shown(text)), cure);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{LineageSettings, Settings, SettingsProblem};
    use crate::store::StorePaths;

    fn read(text: &str) -> Result<Vec<Endpoint>, Vec<SettingsProblem>> {
        let name = LineageName::new("a.example").unwrap();
        let paths = StorePaths::within("/etc/letsencrypt");
        let read = LineageSettings::parse(text.as_bytes(), &Settings::default(), &name, &paths)?;
        Ok(read.endpoints.into_iter().map(|one| one.value).collect())
    }

    #[test]
    fn hosts_come_with_the_port_that_is_written_or_usual() {
        let text = "[[endpoint]]\nhost = \"A.Example\"\n[[endpoint]]\nhost = \"[2001:db8::1]:8443\"\nserver_name = \"a.example\"\n\
                    [[endpoint]]\nhost = \"mail\"\nprotocol = \"smtp\"\n[[endpoint]]\nhost = \"192.0.2.7\"\nport = 1143\nprotocol = \"imap\"\n\
                    [[endpoint]]\nhost = \"192.0.2.7\"\nprotocol = \"pop3\"\n";
        let shown: Vec<String> = read(text)
            .unwrap()
            .iter()
            .map(|one| format!("{one} {} {:?}", one.protocol.as_str(), one.server_name))
            .collect();
        assert_eq!(
            shown,
            [
                "a.example:443 tls None",
                "[2001:db8::1]:8443 tls Some(\"a.example\")",
                "mail:25 smtp None",
                "192.0.2.7:1143 imap None",
                "192.0.2.7:110 pop3 None",
            ]
        );
    }

    #[test]
    fn every_mistake_is_told_by_its_line() {
        let text = "[[endpoint]]\nhost = \"a.example:1\"\nport = 2\n[[endpoint]]\nhost = \"*.example.org\"\n[[endpoint]]\nport = 5\n\
                    [[endpoint]]\nhost = \"b.example\"\nprotocol = \"smtps\"\n[[endpoint]]\nhost = \"c.example\"\nsni = \"x\"\n\
                    [[endpoint]]\nhost = \"d.example\"\nport = 0\nserver_name = \"192.0.2.1\"\n\
                    [[endpoint]]\nhost = \"e.example\"\n[[endpoint]]\nhost = \"e.example:443\"\n";
        let told: Vec<String> = read(text)
            .unwrap_err()
            .iter()
            .map(|one| format!("{} {} | {}", one.line.unwrap_or_default(), one.what, one.cure))
            .collect();
        let expected = [
            "2 the port stands in `host` and in `port` | leave one of them out",
            "5 `endpoint.host` cannot be `*.example.org` | write a name or an address",
            "6 an [[endpoint]] table names no host | write for example `host = \"mail.example.org:25\"`",
            "10 `endpoint.protocol` cannot be `smtps` | write `protocol = \"tls\"` for TLS from the first byte",
            "13 `sni` is not known in an [[endpoint]] table | the keys are: host, port, protocol, server_name",
            "16 `endpoint.port` cannot be 0 | write a number from 1 to 65535",
            "17 `endpoint.server_name` cannot be `192.0.2.1` | write a DNS name",
            "21 the same endpoint stands in line 19 | remove one of them",
        ];
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told}\n{expected}");
        }
    }

    #[test]
    fn a_value_that_is_no_list_of_tables_is_told() {
        let told = read("endpoint = \"a.example\"\n").unwrap_err();
        assert!(told[0].what.contains("is a text, not a list of tables"), "{told:?}");
    }
}
