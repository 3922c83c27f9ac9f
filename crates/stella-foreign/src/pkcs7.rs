//! PKCS#7 signatures beside a file, since named CMS (RFC 5652): one signer, with or without signed attributes.
//!
//! S/MIME messages are refused by name: their artifact is a canonical form of a mail.

use stella_bundle::asn1::{Reader, tag};
use stella_bundle::certificate::Certificate;
use stella_bundle::cms::{
    self, CONTENT_TYPE, DATA, MESSAGE_DIGEST, SIGNING_TIME, SignedData, SignerId, SignerInfo,
};
use stella_bundle::digest::DigestStream;
use stella_bundle::key::{PublicKey, Scheme};
use stella_bundle::memo::Memo;
use stella_bundle::pem;
use stella_bundle::time::UnixTime;

use crate::artifact::Artifact;
use crate::given::{Given, require_signer};
use crate::primitive::{Message, Primitive};
use crate::verified::{Found, Signed, Signer};
use crate::{ForeignError, Format};

const FORMAT: Format = Format::Pkcs7;
/// Signatures larger than this are refused; ten certificates of 64 KiB do not fit, ten honest ones do.
const MAX_SIGNATURE: usize = 256 * 1024;

/// Verifies a detached signature with the signer's certificate or key, or with the certificate of its issuer.
pub(crate) fn verify(
    signature: &[u8],
    key: &[u8],
    artifact: &mut Artifact<'_>,
) -> Result<Found, ForeignError> {
    // 1. Read both files.
    let der = to_der(signature)?;
    let mut reader = Reader::new(&der);
    let data = SignedData::parse(reader.expect(tag::SEQUENCE)?)?;
    reader.finish()?;
    if data.content.is_some() {
        return Err(ForeignError::unsupported(
            FORMAT,
            "content inside the signature",
        ));
    }
    // 2. Find who signed.
    let (key, certificate) = find_signer(Given::parse(FORMAT, key)?, &data)?;
    let signer = match &certificate {
        Some(certificate) => Signer::of_certificate(certificate),
        None => Signer::of_key(&key),
    };
    // 3. It is over the artifact.
    let Covered {
        signed,
        message,
        created,
    } = cover(&data, artifact)?;
    let proven = Primitive {
        key,
        certificate,
        scheme: data.signer.scheme,
        message,
        signature: data.signer.signature,
    }
    .verify()?;
    Ok(Found {
        signer,
        signed,
        created,
        proven,
    })
}

fn to_der(file: &[u8]) -> Result<Vec<u8>, ForeignError> {
    if file.len() > MAX_SIGNATURE {
        return Err(ForeignError::TooLarge {
            what: "a PKCS#7 signature",
            length: file.len(),
            limit: MAX_SIGNATURE,
        });
    }
    let text = match std::str::from_utf8(file) {
        Ok(text) if file.first() != Some(&tag::SEQUENCE) => text,
        _ => return Ok(file.to_vec()),
    };
    if !text.contains("-----BEGIN ") && text.contains("MIME-Version:") {
        return Err(ForeignError::unsupported(FORMAT, "an S/MIME message"));
    }
    let expected = "one PEM block PKCS7 or CMS";
    let mut blocks = pem::decode_all(text)?;
    match blocks.pop() {
        Some(block) if blocks.is_empty() && ["PKCS7", "CMS"].contains(&block.label.as_str()) => {
            Ok(block.der)
        }
        Some(block) if blocks.is_empty() => {
            Err(ForeignError::unexpected(FORMAT, expected, block.label))
        }
        _ => {
            let found = format!("{} blocks", blocks.len() + 1);
            Err(ForeignError::unexpected(FORMAT, expected, found))
        }
    }
}

/// Finds the key that the signature must verify with, and its certificate when that is believed.
///
/// A certificate in the signature counts only when a given one issued it: anybody can put any name around a bare key.
fn find_signer(
    given: Given,
    data: &SignedData<'_>,
) -> Result<(PublicKey, Option<Certificate>), ForeignError> {
    let given = match given {
        Given::Key(key) => return Ok((key, None)),
        Given::Certificates(list) => list,
    };
    let id = &data.signer.id;
    let named = given.iter().find(|each| id.names(each)).cloned();
    let certificate = named.or_else(|| find_issued(id, data, &given));
    let Some(certificate) = certificate else {
        let subjects: Vec<String> = given.iter().map(Certificate::subject_text).collect();
        return Err(ForeignError::WrongKey {
            expected: subjects.join(" or "),
            found: id_text(id),
        });
    };
    require_signer(&certificate)?;
    Ok((certificate.public_key().clone(), Some(certificate)))
}

/// Finds the named certificate among those in the signature, when a given CA issued it.
fn find_issued(id: &SignerId, data: &SignedData<'_>, given: &[Certificate]) -> Option<Certificate> {
    let parse = |der: &&[u8]| Certificate::parse(der).ok();
    let mut carried = data.certificates.iter().filter_map(parse);
    let named = carried.find(|each| id.names(each))?;
    let issues = |issuer: &&Certificate| {
        let may_sign = issuer
            .key_usage()
            .is_none_or(|usage| usage.certificate_sign);
        issuer.is_ca() && may_sign && named.is_signed_by(issuer, &Memo::default())
    };
    given.iter().any(|issuer| issues(&issuer)).then_some(named)
}

fn id_text(id: &SignerId) -> String {
    match id {
        SignerId::IssuerAndSerial(_, serial) => {
            format!("a certificate with serial number {}", hex::encode(serial))
        }
        SignerId::KeyId(id) => format!("a certificate with key id {}", hex::encode(id)),
    }
}

/// What the signer's signature is over.
struct Covered {
    signed: Signed,
    message: Message,
    created: Option<UnixTime>,
}

/// Computes what must be signed (RFC 5652 §5.4): the attributes, which hold the artifact's digest, or the artifact.
fn cover(data: &SignedData<'_>, artifact: &mut Artifact<'_>) -> Result<Covered, ForeignError> {
    let scheme = data.signer.scheme;
    let Some(attributes) = &data.signer.signed_attributes else {
        // spec: RFC 5652 §5.3: content of another type than id-data has signed attributes.
        if data.content_type != DATA {
            return Err(wrong("contentType"));
        }
        return Ok(Covered {
            signed: Signed::Artifact,
            message: cover_artifact(scheme, artifact)?,
            created: None,
        });
    };
    Ok(Covered {
        created: require_attributes(data, &data.signer, attributes, artifact)?,
        signed: Signed::Message(attributes.clone()),
        message: Message::whole_for(scheme, attributes),
    })
}

/// Takes the artifact as what is signed, but for one that is itself a set of signed attributes: anybody can make such a
/// pair from a signature over those.
fn cover_artifact(scheme: Scheme, artifact: &mut Artifact<'_>) -> Result<Message, ForeignError> {
    let (message, head) = match scheme.hash() {
        Some(hash) => {
            let (mut stream, mut head) = (DigestStream::new(hash), Vec::new());
            artifact.each(|piece| {
                stream.update(piece);
                if head.len() < MAX_SIGNATURE {
                    head.extend_from_slice(piece);
                }
                Ok(())
            })?;
            (Message::Digest(stream.finish()), head)
        }
        None => {
            let whole = artifact.whole()?;
            (Message::Whole(whole.clone()), whole)
        }
    };
    match cms::attributes(&head, [&CONTENT_TYPE, &MESSAGE_DIGEST]) {
        Ok([Some(_), Some(_)]) => {
            let feature = "an artifact that is another signature's signed attributes";
            Err(ForeignError::unsupported(FORMAT, feature))
        }
        _ => Ok(message),
    }
}

/// Requires the attributes that must be there (RFC 5652 §11.1, §11.2), and returns the signing time if there is one.
fn require_attributes(
    data: &SignedData<'_>,
    signer: &SignerInfo,
    attributes: &[u8],
    artifact: &mut Artifact<'_>,
) -> Result<Option<UnixTime>, ForeignError> {
    let wanted = [&CONTENT_TYPE, &MESSAGE_DIGEST, &SIGNING_TIME];
    let [content_type, digest, time] = cms::attributes(attributes, wanted)?;
    if content_type.and_then(|value| value.to_oid().ok()) != Some(data.content_type) {
        return Err(wrong("contentType"));
    }
    let digest = digest.filter(|value| value.tag == tag::OCTET_STRING);
    let digest = digest.ok_or(wrong("messageDigest"))?;
    // The artifact is another one than was signed.
    if digest.content != artifact.digest(signer.digest)?.bytes() {
        return Err(ForeignError::BadSignature);
    }
    match time {
        Some(time) => Ok(Some(time.to_time()?)),
        None => Ok(None),
    }
}

const fn wrong(attribute: &'static str) -> ForeignError {
    ForeignError::SignedAttribute { attribute }
}
