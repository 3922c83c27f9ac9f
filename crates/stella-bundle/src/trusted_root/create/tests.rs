//! Entries made of words and PEM, compared with those that an instance wrote of itself.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

const INSTANCE: &[u8] = include_bytes!("../../../../../testdata/keyless/trusted_root.json");
const NOW: UnixTime = UnixTime::from_seconds(1_795_500_000);
const START: &str = "start-time=2026-11-21T00:17:08Z";

fn instance() -> TrustedRoot {
    TrustedRoot::parse(INSTANCE).unwrap()
}

fn chain_of(authority: &CertificateAuthority) -> Vec<String> {
    let block = |each: &RawCertificate| pem::encode(CERTIFICATE, &each.raw_bytes);
    authority
        .cert_chain
        .certificates
        .iter()
        .map(block)
        .collect()
}

fn key_of(log: &TransparencyLog) -> String {
    pem::encode("PUBLIC KEY", &log.public_key.raw_bytes)
}

fn make_authority(
    part: TrustPart,
    words: &str,
    chain: &str,
) -> Result<CertificateAuthority, CreateError> {
    authority(part, &Pairs::parse(words, AUTHORITY_KEYS)?, chain)
}

fn make_log(part: TrustPart, words: &str, key: &str) -> Result<TransparencyLog, CreateError> {
    log(part, &Pairs::parse(words, LOG_KEYS)?, key)
}

fn rekor_words(more: &str) -> String {
    format!("url=http://127.0.0.1:8470,{START}{more}")
}

/// Makes what an instance has from its certificates and keys.
fn additions() -> Additions {
    let root = instance();
    let (fulcio, tsa) = (
        &root.certificate_authorities[0],
        &root.timestamp_authorities[0],
    );
    let authority = |part, each: &CertificateAuthority| {
        let words = format!("url={},{START}", each.uri);
        make_authority(part, &words, &chain_of(each).concat()).unwrap()
    };
    let (rekor, ct) = (&root.tlogs[0], &root.ctlogs[0]);
    let rekor_words = rekor_words(",origin=127.0.0.1");
    let ct_words = format!("url={},{START}", ct.base_url);
    Additions {
        certificate_authorities: vec![authority(TrustPart::CertificateAuthorities, fulcio)],
        ctlogs: vec![make_log(TrustPart::Ctlogs, &ct_words, &key_of(ct)).unwrap()],
        timestamp_authorities: vec![authority(TrustPart::TimestampAuthorities, tsa)],
        tlogs: vec![make_log(TrustPart::Tlogs, &rekor_words, &key_of(rekor)).unwrap()],
        without: vec![],
    }
}

#[test]
fn an_instance_is_described_as_it_describes_itself() {
    let created = create(None, additions(), NOW).unwrap();
    assert_eq!((created.findings, created.refused), (vec![], vec![]));
    let mut expected = instance();
    for authority in [
        &mut expected.certificate_authorities[0],
        &mut expected.timestamp_authorities[0],
    ] {
        let root = authority.cert_chain.certificates.last().unwrap();
        authority.subject = Some(subject(&Certificate::parse(&root.raw_bytes).unwrap()));
        authority.operator.clear();
    }
    expected.tlogs[0].operator.clear();
    expected.ctlogs[0].operator.clear();
    assert_eq!(created.root, expected);
}

#[test]
fn the_name_of_the_root_is_the_authoritys() {
    let made = &additions().certificate_authorities[0];
    let subject = made.subject.clone().unwrap();
    assert_eq!(subject.organization, "127.0.0.1:8470");
    assert!(subject.common_name.starts_with("stella"), "{subject:?}");
}

#[test]
fn an_authority_is_trusted_from_the_start_of_its_certificates_unless_said() {
    let fulcio = &instance().certificate_authorities[0];
    let chain = chain_of(fulcio).concat();
    let part = TrustPart::CertificateAuthorities;
    let made = make_authority(part, "url=https://a.example", &chain).unwrap();
    let newest = certificates(&chain)
        .unwrap()
        .iter()
        .map(Certificate::not_before)
        .max()
        .unwrap();
    let start = made.valid_for.unwrap().start.unwrap();
    assert_eq!(start, newest.to_string());
    let ended = make_authority(
        part,
        "url=https://a.example,end-time=2001-01-01T00:00:00Z",
        &chain,
    );
    assert!(matches!(
        ended,
        Err(CreateError::Pairs(PairsError::EndBeforeStart { .. }))
    ));
}

#[test]
fn a_chain_in_another_order_or_of_another_kind_is_refused() {
    let root = instance();
    let fulcio = chain_of(&root.certificate_authorities[0]);
    let tsa = chain_of(&root.timestamp_authorities[0]);
    let url = "url=https://a.example";
    let fulcio_part = TrustPart::CertificateAuthorities;
    let tsa_part = TrustPart::TimestampAuthorities;
    let error = |part, chain: &str| make_authority(part, url, chain).unwrap_err();

    let reversed = error(fulcio_part, &[&fulcio[1][..], &fulcio[0]].concat());
    let broken = AuthorityError::BrokenLink { index: 0 };
    assert_eq!(reversed, CreateError::Authority(broken));
    assert_eq!(error(fulcio_part, &tsa.concat()), CreateError::FirstIsLeaf);
    assert_eq!(error(tsa_part, &fulcio.concat()), CreateError::FirstIsCa);
    assert_eq!(
        error(fulcio_part, "nothing"),
        CreateError::Pem(PemError::NoBlock)
    );
    let key = key_of(&root.tlogs[0]);
    let found = "PUBLIC KEY".to_owned();
    assert_eq!(
        error(fulcio_part, &format!("{}{key}", fulcio[0])),
        CreateError::UnexpectedPem { found }
    );
    let damaged = pem::encode(CERTIFICATE, &[0x30, 0]);
    assert!(matches!(
        error(fulcio_part, &damaged),
        CreateError::Certificate { index: 0, .. }
    ));
    let missing = make_authority(fulcio_part, "certificate-chain=x", &fulcio.concat());
    let missing_url = PairsError::Missing { key: pairs::URL };
    assert_eq!(missing, Err(CreateError::Pairs(missing_url)));
}

#[test]
fn an_ed25519_log_has_the_origin_of_its_address_in_its_id() {
    let root = instance();
    let key = key_of(&root.tlogs[0]);
    let rekor = |more: &str| make_log(TrustPart::Tlogs, &rekor_words(more), &key);
    assert_eq!(rekor("").unwrap_err(), CreateError::NoOrigin);
    assert_eq!(
        rekor(",origin=127.0.0.1").unwrap().log_id,
        root.tlogs[0].log_id
    );
    let with_port = rekor(",origin=127.0.0.1:8470").unwrap();
    assert_ne!(with_port.log_id, root.tlogs[0].log_id);
    assert!(matches!(
        rekor(",origin=log.example"),
        Err(CreateError::OriginOfAnother { .. })
    ));
}

#[test]
fn every_other_log_has_the_hash_of_its_key_for_an_id() {
    let root = instance();
    let key = key_of(&root.ctlogs[0]);
    let id = Ok(&root.ctlogs[0].log_id);
    for more in ["", ",origin=127.0.0.1"] {
        for part in [TrustPart::Tlogs, TrustPart::Ctlogs] {
            let made = make_log(part, &rekor_words(more), &key);
            assert_eq!(made.as_ref().map(|log| &log.log_id), id);
        }
    }
    // For a CT log an origin changes nothing, whatever its key.
    let ed25519 = key_of(&root.tlogs[0]);
    let made = make_log(TrustPart::Ctlogs, &rekor_words(""), &ed25519).unwrap();
    let key = PublicKey::from_pem(&ed25519).unwrap();
    assert_eq!(made.log_id.key_id, key.key_id());
    let found = "127.0.0.1".to_owned();
    assert_eq!(
        make_log(
            TrustPart::Ctlogs,
            &rekor_words(",origin=127.0.0.1"),
            &ed25519
        ),
        Err(CreateError::OriginUnused { found })
    );
}

#[test]
fn a_log_says_since_when_it_signs_and_with_what() {
    let key = key_of(&instance().tlogs[0]);
    let words = "url=http://127.0.0.1:8470,origin=127.0.0.1";
    let missing = PairsError::Missing { key: pairs::START };
    assert_eq!(
        make_log(TrustPart::Tlogs, words, &key),
        Err(CreateError::Pairs(missing))
    );
    let certificate = &chain_of(&instance().certificate_authorities[0])[0];
    assert!(matches!(
        make_log(TrustPart::Tlogs, &rekor_words(""), certificate),
        Err(CreateError::Key(KeyError::UnexpectedPem { .. }))
    ));
}

#[test]
fn what_stood_there_stays_and_the_oldest_comes_first() {
    let mut older = additions();
    let mut log = older.tlogs.remove(0);
    log.base_url = "http://127.0.0.2".to_owned();
    log.log_id.key_id = lint::note_id(
        "127.0.0.2",
        &PublicKey::from_spki(&log.public_key.raw_bytes).unwrap(),
    )
    .unwrap()
    .to_vec();
    log.public_key.valid_for.as_mut().unwrap().start = Some("2020-01-01T00:00:00Z".to_owned());
    let more = Additions {
        tlogs: vec![log],
        ..Additions::default()
    };
    let created = create(Some(instance()), more.clone(), NOW).unwrap();
    let urls: Vec<_> = created
        .root
        .tlogs
        .iter()
        .map(|each| &each.base_url)
        .collect();
    assert_eq!(urls, ["http://127.0.0.2", "http://127.0.0.1:8470"]);
    assert_eq!(created.refused, []);
    let without = Additions {
        without: vec![TrustPart::Tlogs],
        ..more
    };
    let created = create(Some(instance()), without, NOW).unwrap();
    assert_eq!(created.root.tlogs.len(), 1);
}

#[test]
fn only_errors_of_what_is_new_are_refused() {
    let rekor_alone = |tlogs| Additions {
        tlogs,
        ..Additions::default()
    };
    // One id twice at one time: which key counts would be open.
    let created = create(Some(instance()), rekor_alone(additions().tlogs), NOW).unwrap();
    assert_eq!(created.refused[0].name(), "logIdOverlaps");
    let mut damaged = instance();
    damaged.ctlogs[0].log_id.key_id.clear();
    let created = create(Some(damaged), Additions::default(), NOW).unwrap();
    assert_eq!(created.findings[0].name(), "logId");
    assert_eq!(created.refused, []);
    // A log without a timestamp authority is of use where keys are managed.
    let created = create(None, rekor_alone(additions().tlogs), NOW).unwrap();
    assert_eq!(created.findings[0].name(), "noTimestampAuthority");
    assert_eq!(created.refused, []);
}
