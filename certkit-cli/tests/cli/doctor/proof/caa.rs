//! CAA records that forbid, and servers that cannot say.

use certkit_core::FindingCode as Code;
use testkit::{Data, Fault as Trouble, RecordKind};

use super::fault::Fault;
use super::sound::Sound;

const WWW: &str = "www.a.example";

fn add(sound: &Sound<'_>, flags: u8, tag: &'static str, value: &str) {
    sound.names.add(WWW, Data::Caa(flags, tag, value.into()));
}

pub(super) const FAULTS: &[Fault] = &[
    Fault::error(Code::CaaForbids, |sound| add(sound, 0, "issue", "other.example"))
        .says(&[WWW, "issue \"other.example\""])
        .cure("add the record `www.a.example. CAA 0 issue \"ca.example\""),
    Fault::error(Code::CaaAccountOther, |sound| {
        add(sound, 0, "issue", "ca.example; accounturi=https://ca.example/acct/2");
    })
    .says(&["https://ca.example/acct/2", "the account is https://127.0.0.1:"])
    .cure("www.a.example. CAA 0 issue \"ca.example; accounturi=https://127.0.0.1:"),
    Fault::error(Code::CaaMethodForbidden, |sound| add(sound, 0, "issue", "ca.example; validationmethods=dns-01"))
        .says(&["http-01 is used"])
        .cure("www.a.example. CAA 0 issue \"ca.example; validationmethods=dns-01,http-01\""),
    Fault::error(Code::CaaCriticalUnknown, |sound| {
        add(sound, 0, "issue", "ca.example");
        add(sound, 128, "tbs", "x");
    })
    .says(&["www.a.example CAA 128 tbs \"x\""])
    .cure("remove the record `www.a.example. CAA 128 tbs \"x\""),
    Fault::error(Code::CaaUnanswered, |sound| {
        for server in ["127.0.0.1", "127.0.0.3", "127.0.0.4"] {
            sound.names.fail(server, Some(WWW), Some(RecordKind::CAA), Trouble::ServFail);
        }
    })
    .says(&["ns1.a.example (127.0.0.3) answers SERVFAIL"])
    .cure("type 257"),
    Fault::warning(Code::CaaServerFails, |sound| {
        sound.names.fail("127.0.0.4", None, Some(RecordKind::CAA), Trouble::NotImp);
    })
    .says(&["ns2.a.example (127.0.0.4) answers NOTIMP"])
    .cure("type 257"),
];
