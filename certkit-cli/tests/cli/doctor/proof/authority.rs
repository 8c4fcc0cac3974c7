//! The CA: whether it is there, what it offers, what time it has.

use certkit_core::FindingCode as Code;
use chrono::TimeDelta;
use testkit::{Answer, RequestKind};

use super::fault::Fault;

pub(super) const FAULTS: &[Fault] = &[
    Fault::error(Code::DirectoryUnreachable, |sound| sound.proxy.refuse_connections())
        .says(&["https://127.0.0.1:", "refused"])
        .cure("fallback_servers"),
    Fault::error(Code::DirectoryUnusable, |sound| {
        sound.proxy.on(RequestKind::Directory).answer(Answer::text(200, "text/html", "<html>Welcome"));
    })
    .says(&["https://127.0.0.1:"])
    .cure("--server URL"),
    Fault::warning(Code::ClockOff, |sound| sound.proxy.shift_date(TimeDelta::minutes(-9)))
        .says(&["minutes ahead of the CA's"])
        .cure("set the clock"),
    Fault::error(Code::ClockOff, |sound| sound.proxy.shift_date(TimeDelta::days(400)))
        .says(&["days behind the CA's"])
        .cure("set the clock"),
    Fault::notice(Code::RenewalInformationNotOffered, |sound| sound.proxy.remove_from_directory("/renewalInfo"))
        .says(&["https://127.0.0.1:"])
        .cure("nothing to do"),
    Fault::warning(Code::ProfileNotOffered, |sound| {
        sound.write_certificate(|lineage| lineage.param("preferred_profile", "gone"));
    })
    .says(&["`gone` is wanted", "offers classic"])
    .cure("certkit reconfigure --cert-name a.example --preferred-profile PROFILE"),
    Fault::error(Code::ProfileNotOffered, |sound| {
        sound.write_certificate(|lineage| lineage.param("required_profile", "gone"));
    })
    .says(&["`gone` is wanted", "offers classic"])
    .cure("certkit reconfigure --cert-name a.example --required-profile PROFILE"),
];
