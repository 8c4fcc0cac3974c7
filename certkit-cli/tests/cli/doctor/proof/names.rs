//! Names that lead nowhere, and name servers that fail.

use certkit_core::FindingCode as Code;
use testkit::{Data, Fault as Trouble, RecordKind};

use super::fault::Fault;
use super::sound::LETS_ENCRYPT;

const WWW: Option<&str> = Some("www.a.example");

pub(super) const FAULTS: &[Fault] = &[
    Fault::error(Code::NameNotFound, |sound| {
        for name in ["www.a.example", "_443._tcp.www.a.example"] {
            sound.names.remove(name);
        }
    })
    .says(&["www.a.example"])
    .cure("certkit certonly --cert-name a.example -d 'a.example'"),
    Fault::error(Code::NameWithoutAddress, |sound| {
        sound.names.remove("www.a.example");
        sound.names.add("www.a.example", Data::Txt("v=spf1 -all".into()));
    })
    .says(&["www.a.example"])
    .cure("publish an address for the name (an A or AAAA record)"),
    Fault::error(Code::NameUnanswered, |sound| {
        for kind in [RecordKind::A, RecordKind::AAAA] {
            for server in ["127.0.0.1", "127.0.0.3", "127.0.0.4"] {
                sound.names.fail(server, WWW, Some(kind), Trouble::ServFail);
            }
        }
    })
    .says(&["ns1.a.example (127.0.0.3) answers SERVFAIL"])
    .cure("name servers of the zone"),
    Fault::warning(Code::NameServerFails, |sound| {
        sound.names.fail("127.0.0.4", WWW, Some(RecordKind::A), Trouble::Refused);
    })
    .says(&["ns2.a.example (127.0.0.4) answers REFUSED"])
    .cure("NS records"),
    // Where the TXT record goes every server has to answer for that type, too.
    Fault::warning(Code::NameServerFails, |sound| {
        sound.names.fail("127.0.0.4", Some("_acme-challenge.w.a.example"), Some(RecordKind::TXT), Trouble::ServFail);
    })
    .says(&["ns2.a.example (127.0.0.4) answers SERVFAIL"])
    .cure("NS records"),
    Fault::warning(Code::NameServersDisagree, |sound| sound.names.set_at("127.0.0.4", "www.a.example", vec![]))
        .says(&["ns1.a.example (127.0.0.3) says 127.0.0.9", "ns2.a.example (127.0.0.4) says no address"])
        .cure("the same serial"),
    // No packet is sent to the public CA: its proxy is not there.
    Fault::error(Code::AddressNotPublic, |sound| {
        let account = sound.host.place.tree.account(LETS_ENCRYPT, testkit::AccountKeyKind::EcP256);
        sound.write_certificate(|lineage| lineage.server(LETS_ENCRYPT).account(&account.id));
    })
    .says(&["127.0.0.9", "www.a.example"])
    .cure("publish a public address")
    .also(&[Code::DirectoryUnreachable]),
    Fault::error(Code::AddressNotPublic, |sound| {
        let account = sound.host.place.tree.account(LETS_ENCRYPT, testkit::AccountKeyKind::EcP256);
        sound.write_certificate(|lineage| {
            lineage.names(["127.0.0.9"]).webroot(sound.servers.web.webroot()).server(LETS_ENCRYPT).account(&account.id)
        });
    })
    .says(&["127.0.0.9", "as an identifier"])
    .cure("certkit certonly --cert-name a.example -d")
    .also(&[Code::DirectoryUnreachable]),
    Fault::error(Code::DnssecBroken, |sound| {
        for kind in [RecordKind::A, RecordKind::AAAA] {
            sound.names.fail("127.0.0.1", WWW, Some(kind), Trouble::Bogus);
        }
    })
    .says(&["www.a.example", "not to validate"])
    .cure("DS record"),
    Fault::error(Code::ChallengeAliasBroken, |sound| {
        sound.names.add("_acme-challenge.w.a.example", Data::Cname("w.validation.example"));
    })
    .says(&["w.validation.example, whose domain does not exist"])
    .cure("_acme-challenge.w.a.example. CNAME w.validation.example."),
    Fault::notice(Code::ChallengeRecordsLeft, |sound| {
        sound.names.add("_acme-challenge.w.a.example", Data::Txt("left".into()));
    })
    .says(&["_acme-challenge.w.a.example", "1 record"])
    .cure("remove the records"),
    Fault::warning(Code::TlsaMismatch, |sound| {
        sound.names.add("_25._tcp.a.example", Data::Tlsa(3, 1, 1, vec![7; 32]));
    })
    .says(&["_25._tcp.a.example"])
    .cure("_25._tcp.a.example TLSA 3 1 1 "),
    Fault::warning(Code::TlsaWillBreak, |sound| {
        sound.write_certificate(|lineage| lineage.param("reuse_key", "False"));
    })
    .says(&["_443._tcp.www.a.example", "3 1 1"])
    .cure("certkit reconfigure --cert-name a.example --reuse-key"),
];
