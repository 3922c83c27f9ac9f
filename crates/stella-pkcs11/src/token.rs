//! Tokens and their keys, by a module: found, opened, used.

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use stella_bundle::asn1::{self, tag};
use stella_bundle::key::{EC_PUBLIC_KEY, ED25519, KeyDetails, PublicKey, RSA_ENCRYPTION, Scheme};
use stella_keys::device::words::{FailureKind, Listed, Open, Sign, Token};

/// DigestInfo of SHA-256 up to the digest (RFC 8017 §9.2).
const SHA256_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

/// Bytes of uncompressed points on P-256, P-384 and P-521, and of an Ed25519 key.
const POINTS: [usize; 4] = [65, 97, 133, 32];

/// Why something cannot be done.
pub(crate) struct Problem {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Pkcs11(
                RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange,
                _,
            ) => FailureKind::Pin,
            Error::Pkcs11(RvError::UserNotLoggedIn, _) => FailureKind::Pin,
            Error::Pkcs11(RvError::PinLocked | RvError::PinExpired, _) => FailureKind::Locked,
            Error::Pkcs11(
                RvError::MechanismInvalid
                | RvError::MechanismParamInvalid
                | RvError::KeyTypeInconsistent
                | RvError::KeyFunctionNotPermitted,
                _,
            ) => FailureKind::Unsupported,
            _ => FailureKind::Device,
        };
        // What the module returned, and not the standard's essay about it.
        let message = match &error {
            Error::Pkcs11(value, function) => format!("{function:?} returned {value:?}"),
            other => other.to_string(),
        };
        Self { kind, message }
    }
}

/// An open key.
pub(crate) struct Key {
    pub(crate) session: Session,
    pub(crate) handle: ObjectHandle,
    /// The token with the key.
    pub(crate) info: TokenInfo,
    spki: Vec<u8>,
    asks: Asks,
    /// The session is one of the module's, which must outlive it.
    _module: Pkcs11,
}

/// When a key asks for the PIN.
enum Asks {
    /// Before each signature, and not after it was refused: then there is none any more.
    Always(Option<AuthPin>),
    /// Once, when its token is opened.
    Once,
}

impl Key {
    pub(crate) fn open(open: Open) -> Result<Self, Problem> {
        let module = load(&open)?;
        let (slot, info) = only_token(&module, &open.token)?;
        let session = module.open_ro_session(slot)?;
        log_in(&session, &info, &open)?;
        let template = template(&open, ObjectClass::PRIVATE_KEY);
        let found = session.find_objects(&template)?;
        let handle = match found.as_slice() {
            [only] => *only,
            [] => return Err(absent(&open, &info)),
            several => {
                let message = format!("{} keys fit: say which with id=%HH…", several.len());
                return Err(Problem::new(FailureKind::Ambiguous, message));
            }
        };
        let asks = when_it_asks(&session, handle, &open)?;
        let spki = public_half(&session, handle, &open)?;
        Ok(Self {
            session,
            handle,
            info,
            spki,
            asks,
            _module: module,
        })
    }

    pub(crate) fn spki(&self) -> &[u8] {
        &self.spki
    }

    pub(crate) fn sign(&mut self, sign: &Sign) -> Result<Vec<u8>, Problem> {
        let unsupported = || Problem::new(FailureKind::Unsupported, sign.details.clone());
        let details = KeyDetails::from_name_or_number(&sign.details).ok_or_else(unsupported)?;
        match details.scheme() {
            // Hashed before: some modules know no mechanism that hashes.
            Scheme::Ecdsa(_) => ecdsa_in_der(&self.sign_by(&Mechanism::Ecdsa, &sign.input)?),
            Scheme::Ed25519 => {
                let params = EddsaParams::new(EddsaSignatureScheme::Pure);
                self.sign_by(&Mechanism::Eddsa(params), &sign.input)
            }
            Scheme::RsaPkcs1(_) => {
                let info = [&SHA256_INFO[..], &sign.input].concat();
                self.sign_by(&Mechanism::RsaPkcs, &info)
            }
            _ => Err(unsupported()),
        }
    }

    fn sign_by(&mut self, mechanism: &Mechanism<'_>, input: &[u8]) -> Result<Vec<u8>, Problem> {
        let (session, handle) = (&self.session, self.handle);
        let Asks::Always(pin) = &mut self.asks else {
            return Ok(session.sign(mechanism, handle, input)?);
        };
        // 1. Taken before it is tried, given back when it was right: a wrong one is tried once, whatever else is waiting.
        let Some(tried) = pin.take() else {
            let message = "it was not accepted for this key, and is not tried again";
            return Err(Problem::new(FailureKind::Pin, message));
        };
        // 2. Between the beginning and the end of the signature that it is for.
        //    spec: PKCS #11 v3.0 §5.6.8 (C_Login), CKU_CONTEXT_SPECIFIC
        session.sign_init(mechanism, handle)?;
        session.login(UserType::ContextSpecific, Some(&tried))?;
        *pin = Some(tried);
        // 3. Given as the one part of a whole: cryptoki 0.12 has no call for a single part that was begun before. Modules of
        //    devices whose keys ask (ykcs11, OpenSC, tpm2-pkcs11) collect parts, though the standard asks it of no mechanism
        //    that hashes nothing; SoftHSM does not.
        session.sign_update(input).map_err(only_at_once)?;
        Ok(session.sign_final()?)
    }
}

/// Says that a module wants all in one call, where it says so.
fn only_at_once(error: Error) -> Problem {
    match error {
        Error::Pkcs11(RvError::OperationNotInitialized | RvError::FunctionNotSupported, _) => {
            let message =
                "the key asks for the PIN before each signature, and its module signs no parts";
            Problem::new(FailureKind::Unsupported, message)
        }
        other => other.into(),
    }
}

/// Lists the private keys of the tokens that fit.
pub(crate) fn list(open: Open) -> Result<Vec<Listed>, Problem> {
    let module = load(&open)?;
    let mut listed = Vec::new();
    let tokens = tokens(&module, &open.token)?;
    if open.pin.is_some() && tokens.len() > 1 {
        // A wrong PIN counts on each of them.
        let message = "several tokens fit, and a PIN belongs to one: say which with token=LABEL";
        return Err(Problem::new(FailureKind::Ambiguous, message));
    }
    for (slot, info) in tokens {
        let session = module.open_ro_session(slot)?;
        if open.pin.is_some() {
            log_in(&session, &info, &open)?;
        }
        // Without a PIN only public halves are seen.
        let class = match open.pin {
            Some(_) => ObjectClass::PRIVATE_KEY,
            None => ObjectClass::PUBLIC_KEY,
        };
        for handle in session.find_objects(&template(&open, class))? {
            listed.push(describe(&session, handle, &info)?);
        }
    }
    Ok(listed)
}

fn describe(session: &Session, handle: ObjectHandle, info: &TokenInfo) -> Result<Listed, Problem> {
    let wanted = [
        AttributeType::Label,
        AttributeType::Id,
        AttributeType::KeyType,
    ];
    let mut row = Listed {
        token: info.label().to_owned(),
        serial: info.serial_number().to_owned(),
        object: String::new(),
        id: String::new(),
        kind: String::new(),
    };
    for attribute in session.get_attributes(handle, &wanted)? {
        match attribute {
            Attribute::Label(label) => row.object = String::from_utf8_lossy(&label).into_owned(),
            Attribute::Id(id) => row.id = hex::encode(id),
            Attribute::KeyType(kind) => row.kind = kind_name(kind),
            _ => {}
        }
    }
    Ok(row)
}

fn kind_name(kind: KeyType) -> String {
    match kind {
        KeyType::EC => "ECDSA".to_owned(),
        KeyType::EC_EDWARDS => "EdDSA".to_owned(),
        KeyType::RSA => "RSA".to_owned(),
        other => format!("{other:?}"),
    }
}

fn load(open: &Open) -> Result<Pkcs11, Problem> {
    let failed = |error: Error| {
        Problem::new(
            FailureKind::Device,
            format!("cannot load the module {}: {error}", open.module),
        )
    };
    let module = Pkcs11::new(&open.module).map_err(failed)?;
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    Ok(module)
}

/// Returns the tokens of which all is true that is said.
fn tokens(module: &Pkcs11, wanted: &Token) -> Result<Vec<(Slot, TokenInfo)>, Problem> {
    let fits = |said: &Option<String>, found: &str| {
        said.as_ref()
            .is_none_or(|said| said.trim_end() == found.trim_end())
    };
    let mut tokens = Vec::new();
    for slot in module.get_slots_with_token()? {
        let info = module.get_token_info(slot)?;
        let is_meant = info.token_initialized()
            && wanted.slot.is_none_or(|id| id == slot.id())
            && fits(&wanted.label, info.label())
            && fits(&wanted.manufacturer, info.manufacturer_id())
            && fits(&wanted.model, info.model())
            && fits(&wanted.serial, info.serial_number());
        if is_meant {
            tokens.push((slot, info));
        }
    }
    Ok(tokens)
}

fn only_token(module: &Pkcs11, wanted: &Token) -> Result<(Slot, TokenInfo), Problem> {
    let mut found = tokens(module, wanted)?;
    match found.len() {
        1 => Ok(found.swap_remove(0)),
        0 => Err(Problem::new(
            FailureKind::Absent,
            format!("no token fits {}", said(wanted)),
        )),
        _ => {
            let labels: Vec<&str> = found.iter().map(|(_, info)| info.label()).collect();
            let message = format!("several tokens fit {}: {}", said(wanted), labels.join(", "));
            Err(Problem::new(FailureKind::Ambiguous, message))
        }
    }
}

fn said(token: &Token) -> String {
    let parts = [
        ("token", &token.label),
        ("manufacturer", &token.manufacturer),
        ("model", &token.model),
        ("serial", &token.serial),
    ];
    let parts = parts
        .iter()
        .filter_map(|(name, said)| Some(format!("{name}={}", said.as_ref()?)));
    let said: Vec<String> = parts.collect();
    match said.is_empty() {
        true => "what was asked for (nothing)".to_owned(),
        false => said.join(";"),
    }
}

fn absent(open: &Open, info: &TokenInfo) -> Problem {
    let object = open.object.as_ref().map(|label| format!("object={label}"));
    let id = open.id.as_ref().map(|id| format!("id={}", hex::encode(id)));
    let what: Vec<String> = object.into_iter().chain(id).collect();
    Problem::new(
        FailureKind::Absent,
        format!(
            "the token {} has no private key {}",
            info.label(),
            what.join(";")
        ),
    )
}

/// Logs in once. A wrong PIN is not tried again: after a few of them the token locks itself.
fn log_in(session: &Session, info: &TokenInfo, open: &Open) -> Result<(), Problem> {
    if info.user_pin_locked() {
        return Err(Problem::new(FailureKind::Locked, info.label()));
    }
    let Some(pin) = &open.pin else {
        return match info.login_required() {
            true => Err(Problem::new(
                FailureKind::Pin,
                format!("the token {} asks for one", info.label()),
            )),
            false => Ok(()),
        };
    };
    let pin = AuthPin::from(pin.as_str());
    match session.login(UserType::User, Some(&pin)) {
        // Once for all sessions of a process.
        Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        logged_in => Ok(logged_in?),
    }
}

fn template(open: &Open, class: ObjectClass) -> Vec<Attribute> {
    let label = open
        .object
        .as_ref()
        .map(|label| Attribute::Label(label.as_bytes().to_vec()));
    let id = open.id.clone().map(Attribute::Id);
    [Attribute::Class(class)]
        .into_iter()
        .chain(label)
        .chain(id)
        .collect()
}

/// Requires a key for signing, and says when it asks for the PIN.
fn when_it_asks(session: &Session, handle: ObjectHandle, open: &Open) -> Result<Asks, Problem> {
    let wanted = [AttributeType::AlwaysAuthenticate, AttributeType::Sign];
    let mut asks = Asks::Once;
    for attribute in session.get_attributes(handle, &wanted)? {
        match attribute {
            Attribute::Sign(false) => {
                let message = "the key is not for signing";
                return Err(Problem::new(FailureKind::Unsupported, message));
            }
            Attribute::AlwaysAuthenticate(true) => {
                let none = || {
                    let message = "the key asks for one before each signature";
                    Problem::new(FailureKind::Pin, message)
                };
                let pin = open.pin.as_ref().ok_or_else(none)?;
                asks = Asks::Always(Some(AuthPin::from(pin.as_str())));
            }
            _ => {}
        }
    }
    Ok(asks)
}

/// Returns the public half as SubjectPublicKeyInfo: of the public object with the same id, else of the key itself.
fn public_half(session: &Session, handle: ObjectHandle, open: &Open) -> Result<Vec<u8>, Problem> {
    let own = session.get_attributes(handle, &[AttributeType::Id])?;
    let own_id = own.into_iter().find_map(|attribute| match attribute {
        Attribute::Id(id) if !id.is_empty() => Some(id),
        _ => None,
    });
    let mut by_id = vec![Attribute::Class(ObjectClass::PUBLIC_KEY)];
    match own_id {
        Some(id) => by_id.push(Attribute::Id(id)),
        None => by_id = template(open, ObjectClass::PUBLIC_KEY),
    }
    let public = session.find_objects(&by_id)?;
    let places = public.into_iter().chain([handle]);
    let mut last = None;
    for place in places {
        match read_public(session, place) {
            Ok(spki) => return Ok(spki),
            Err(problem) => last = Some(problem),
        }
    }
    let nothing = || Problem::new(FailureKind::Unsupported, "the key shows no public half");
    Err(last.unwrap_or_else(nothing))
}

fn read_public(session: &Session, place: ObjectHandle) -> Result<Vec<u8>, Problem> {
    let wanted = [
        AttributeType::KeyType,
        AttributeType::EcParams,
        AttributeType::EcPoint,
        AttributeType::Modulus,
        AttributeType::PublicExponent,
    ];
    let (mut kind, mut params, mut point, mut modulus, mut exponent) =
        (None, None, None, None, None);
    // What cannot be read is left out by modules, and is no error.
    for attribute in session.get_attributes(place, &wanted)? {
        match attribute {
            Attribute::KeyType(found) => kind = Some(found),
            Attribute::EcParams(found) => params = Some(found),
            Attribute::EcPoint(found) => point = Some(found),
            Attribute::Modulus(found) => modulus = Some(found),
            Attribute::PublicExponent(found) => exponent = Some(found),
            _ => {}
        }
    }
    let missing = || Problem::new(FailureKind::Unsupported, "the key shows no public half");
    let spki = match kind.ok_or_else(missing)? {
        KeyType::EC => {
            let point = unwrapped(
                &point
                    .filter(|point| !point.is_empty())
                    .ok_or_else(missing)?,
            );
            let curve = params.ok_or_else(missing)?;
            let algorithm = asn1::sequence(&[&asn1::oid(&EC_PUBLIC_KEY), &curve]);
            asn1::sequence(&[&algorithm, &asn1::bit_string(&point)])
        }
        KeyType::EC_EDWARDS => {
            let point = unwrapped(
                &point
                    .filter(|point| !point.is_empty())
                    .ok_or_else(missing)?,
            );
            let algorithm = asn1::sequence(&[&asn1::oid(&ED25519)]);
            asn1::sequence(&[&algorithm, &asn1::bit_string(&point)])
        }
        KeyType::RSA => {
            let modulus = modulus
                .filter(|modulus| !modulus.is_empty())
                .ok_or_else(missing)?;
            let exponent = exponent.ok_or_else(missing)?;
            let key = asn1::sequence(&[&asn1::unsigned(&modulus), &asn1::unsigned(&exponent)]);
            let algorithm = asn1::sequence(&[&asn1::oid(&RSA_ENCRYPTION), &asn1::null()]);
            asn1::sequence(&[&algorithm, &asn1::bit_string(&key)])
        }
        other => {
            let message = format!("keys of the type {other:?} are not known here");
            return Err(Problem::new(FailureKind::Unsupported, message));
        }
    };
    PublicKey::from_spki(&spki)
        .map_err(|error| Problem::new(FailureKind::Unsupported, error.to_string()))?;
    Ok(spki)
}

/// The standard wraps points into an OCTET STRING, and some modules do not.
fn unwrapped(point: &[u8]) -> Vec<u8> {
    // A bare point begins as an OCTET STRING does; its length tells.
    if POINTS.contains(&point.len()) {
        return point.to_vec();
    }
    let mut reader = asn1::Reader::new(point);
    let inner = reader
        .expect(tag::OCTET_STRING)
        .map(|inner| inner.content.to_vec());
    match (inner, reader.finish()) {
        (Ok(inner), Ok(())) => inner,
        _ => point.to_vec(),
    }
}

/// Writes `r || s` as the SEQUENCE that everyone else expects (RFC 3279 §2.2.3).
fn ecdsa_in_der(signature: &[u8]) -> Result<Vec<u8>, Problem> {
    if signature.is_empty() || !signature.len().is_multiple_of(2) {
        let message = format!("an ECDSA signature of {} bytes", signature.len());
        return Err(Problem::new(FailureKind::Device, message));
    }
    let (r, s) = signature.split_at(signature.len() / 2);
    let number = |bytes: &[u8]| {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        asn1::unsigned(&bytes[zeros.min(bytes.len() - 1)..])
    };
    Ok(asn1::sequence(&[&number(r), &number(s)]))
}
