//! One walk through the whole instance in process: token, certificate, timestamp, log entry, restart.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use http::{Method, StatusCode};
use stella_bundle::certificate::{AlternativeName, Certificate, Claim};
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::entry::{EntryVerifier, HashedRekord};
use stella_bundle::envelope::{Envelope, EnvelopeSignature};
use stella_bundle::sct;
use stella_bundle::timestamp::SignedTimestamp;
use stella_bundle::trusted_root::TrustedRoot;
use stella_keys::{EphemeralKey, Signer as _};
use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::hash::{self, Hash};
use stella_tlog::note::{KeyName, Note, SignatureType, VerifierKey};
use stella_tlog::proof;
use stella_tlog::tree::LeafIndex;
use stella_wire::csr;
use stella_wire::fulcio::{SigningCert, SigningCertRequest};
use stella_wire::rekor::{AddEntry, DsseRequest, Verifier};
use stella_wire::tsa::{Certificates, QUERY, TimestampRequest};
use world::{P256, URL, World, entry};

fn rekor_key(root: &TrustedRoot) -> VerifierKey {
    let spki = &root.tlogs[0].public_key.raw_bytes;
    let name = KeyName::new("127.0.0.1").unwrap();
    VerifierKey::new(name, SignatureType::Ed25519, &spki[spki.len() - 32..]).unwrap()
}

#[tokio::test]
async fn a_certificate_names_the_tokens_holder_and_verifies_up_to_the_trusted_root() {
    let world = World::new().await;
    let key = EphemeralKey::generate(P256).unwrap();
    let issued = world.certify(&key).await;
    assert_eq!(issued.chain.len(), 3);
    let chain: Vec<Certificate> = issued
        .chain
        .iter()
        .map(|der| Certificate::parse(der).unwrap())
        .collect();
    let [leaf, intermediate, root] = chain.as_slice() else {
        panic!("three certificates")
    };
    assert!(leaf.public_key() == key.public_key());
    leaf.verify_signature(intermediate.public_key()).unwrap();
    intermediate.verify_signature(root.public_key()).unwrap();
    root.verify_signature(root.public_key()).unwrap();
    assert!(leaf.may_be_issued_by(intermediate) && intermediate.may_be_issued_by(root));

    let name = format!("{URL}/local/demo/.github/workflows/stella.yml@refs/heads/main");
    assert_eq!(leaf.names(), [AlternativeName::Uri(name)]);
    assert_eq!(leaf.oidc_issuer(), Some(URL));
    assert_eq!(
        leaf.claim(Claim::TokenSubject),
        Some("repo:local/demo:ref:refs/heads/main")
    );
    assert_eq!(
        leaf.claim(Claim::SourceRepositoryUri),
        Some(&*format!("{URL}/local/demo"))
    );
    assert_eq!(leaf.claim(Claim::DeploymentEnvironment), None);
    assert_eq!(leaf.not_after().since(leaf.not_before()).as_secs(), 600);

    let trusted = TrustedRoot::parse(world.sigstore.trusted_root()).unwrap();
    let anchors = &trusted.certificate_authorities[0].cert_chain.certificates;
    assert_eq!(
        anchors
            .iter()
            .map(|anchor| &anchor.raw_bytes)
            .collect::<Vec<_>>(),
        [&issued.chain[1], &issued.chain[2]]
    );

    let scts = sct::embedded(leaf).unwrap();
    let ct_key =
        stella_bundle::key::PublicKey::from_spki(&trusted.ctlogs[0].public_key.raw_bytes).unwrap();
    assert_eq!(scts.len(), 1);
    assert_eq!(scts[0].log_id.as_slice(), trusted.ctlogs[0].log_id.key_id);
    scts[0]
        .verify(&ct_key, leaf, intermediate.public_key())
        .unwrap();
    assert_eq!(scts[0].extensions, [0, 0, 5, 0, 0, 0, 0, 0]);
}

#[tokio::test]
async fn a_certificate_is_given_for_a_request_and_a_token_in_the_header() {
    let world = World::new().await;
    let key = EphemeralKey::generate(P256).unwrap();
    let signed = csr::to_be_signed(key.public_key());
    let scheme = key.public_key().default_scheme();
    let csr = csr::assemble(&signed, scheme, &key.sign(&signed).unwrap()).unwrap();
    let request = SigningCertRequest {
        certificate_signing_request: csr.into_bytes(),
        ..SigningCertRequest::default()
    };
    let authorization = format!("Bearer {}", world.token());
    let headers = [
        ("authorization", authorization.as_str()),
        ("accept", "application/pem-certificate-chain"),
    ];
    let answer = world
        .send(
            Method::POST,
            "/api/v2/signingCert",
            &headers,
            request.to_bytes(),
        )
        .await;
    assert_eq!(answer.status(), StatusCode::OK);
    let issued = SigningCert::parse(answer.body()).unwrap();
    assert!(Certificate::parse(&issued.chain[0]).unwrap().public_key() == key.public_key());
}

#[tokio::test]
async fn an_envelope_is_stored_as_the_entry_that_all_clients_read() {
    let world = World::new().await;
    let key = EphemeralKey::generate(P256).unwrap();
    let mut envelope = Envelope {
        payload: b"{}".to_vec(),
        payload_type: "application/vnd.in-toto+json".to_owned(),
        signatures: Vec::new(),
    };
    let sig = key.sign(&envelope.to_be_signed()).unwrap();
    envelope.signatures.push(EnvelopeSignature {
        sig: sig.clone(),
        keyid: String::new(),
    });
    let spki = key.public_key().spki().to_vec();
    let verifier = Verifier {
        key: EntryVerifier::PublicKey(spki.clone()),
        details: P256,
    };
    let digest = DigestAlgorithm::Sha256.digest(&envelope.to_be_signed());
    let logged = world
        .log(&AddEntry::Dsse(DsseRequest {
            envelope,
            verifiers: vec![verifier],
        }))
        .await;
    assert_eq!(
        (
            logged.kind_version.kind.as_str(),
            logged.kind_version.version.as_str()
        ),
        ("hashedrekord", "0.0.2")
    );
    let expected = HashedRekord {
        digest,
        signature: sig,
        verifier: EntryVerifier::PublicKey(spki),
        details: P256,
    };
    assert_eq!(logged.canonicalized_body, expected.to_body());
}

#[tokio::test]
async fn an_entry_is_proved_and_a_repeated_request_gets_the_same_place() {
    let world = World::new().await;
    let request = entry(b"message");
    let first = world.log(&request).await;
    world.log(&entry(b"another")).await;
    let again = world.log(&request).await;
    assert_eq!(first.log_index, 1, "the genesis entry has index 0");
    assert_eq!(again.log_index, first.log_index);
    assert_eq!(again.canonicalized_body, first.canonicalized_body);
    let trusted = TrustedRoot::parse(world.sigstore.trusted_root()).unwrap();
    for entry in [&first, &again] {
        assert_eq!(entry.log_id, trusted.tlogs[0].log_id);
        let proved = entry.inclusion_proof.as_ref().unwrap();
        let note = Note::parse(&proved.checkpoint.envelope).unwrap();
        note.verify(&rekor_key(&trusted)).unwrap();
        let checkpoint = Checkpoint::parse(&note.text).unwrap();
        assert_eq!(i64::try_from(checkpoint.size.0), Ok(proved.tree_size));
        let hashes: Vec<Hash> = proved
            .hashes
            .iter()
            .map(|hash| Hash::try_from(hash.as_slice()).unwrap())
            .collect();
        let leaf = hash::leaf(&entry.canonicalized_body);
        let index = LeafIndex(u64::try_from(entry.log_index).unwrap());
        assert_eq!(
            proof::root_from_inclusion(&leaf, index, checkpoint.size, &hashes),
            Ok(checkpoint.root)
        );
        assert_eq!(proved.root_hash, checkpoint.root.as_bytes());
    }
}

#[tokio::test]
async fn a_timestamp_is_over_the_digest_and_by_the_trusted_authority() {
    let world = World::new().await;
    let digest = DigestAlgorithm::Sha256.digest(b"signature");
    let nonce = Some(vec![1, 2, 3, 4, 5, 6, 7, 8]);
    let request = TimestampRequest::new(digest, nonce.clone(), Certificates::Include);
    let headers = [("content-type", QUERY)];
    let answer = world
        .send(
            Method::POST,
            "/api/v1/timestamp",
            &headers,
            request.to_der(),
        )
        .await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(
        answer.headers()["content-type"],
        "application/timestamp-reply"
    );
    let stamp = SignedTimestamp::parse(answer.body()).unwrap();
    stamp.require_message(b"signature").unwrap();
    assert_eq!(stamp.nonce, nonce);
    assert_eq!(stamp.time.millis() % 1000, 0);
    let trusted = TrustedRoot::parse(world.sigstore.trusted_root()).unwrap();
    let chain = &trusted.timestamp_authorities[0].cert_chain.certificates;
    let signer = Certificate::parse(&chain[0].raw_bytes).unwrap();
    assert_eq!(stamp.carried(), std::slice::from_ref(&signer));
    stamp.verify(&signer).unwrap();
    signer
        .verify_signature(
            Certificate::parse(&chain[1].raw_bytes)
                .unwrap()
                .public_key(),
        )
        .unwrap();
}

#[tokio::test]
async fn after_a_restart_the_instance_goes_on_where_it_stopped() {
    let world = World::new().await;
    let request = entry(b"message");
    let before = world.log(&request).await;
    world.certify(&EphemeralKey::generate(P256).unwrap()).await;
    let trusted = world.sigstore.trusted_root().to_vec();
    let World {
        sigstore,
        clock,
        directory,
    } = world;
    drop(sigstore);
    let sigstore = world::open(directory.path(), &clock).await;
    let world = World {
        sigstore,
        clock,
        directory,
    };
    assert_eq!(world.sigstore.trusted_root(), trusted);
    assert_eq!(world.log(&request).await.log_index, before.log_index);
    assert_eq!(world.log(&entry(b"later")).await.log_index, 2);
    let issued = world.certify(&EphemeralKey::generate(P256).unwrap()).await;
    let scts = sct::embedded(&Certificate::parse(&issued.chain[0]).unwrap()).unwrap();
    assert_eq!(scts[0].extensions, [0, 0, 5, 0, 0, 0, 0, 1]);
}
