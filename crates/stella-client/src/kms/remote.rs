//! A key in a service, as a [`Signer`]: requests go to a thread with a runtime of its own, for a signer is called like any
//! other function, also from inside of a task.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use stella_bundle::key::{KeyDetails, PublicKey};
use stella_keys::stored::details_for;
use stella_keys::{Input, KeyError, ServiceFailure, Signer};
use tokio::sync::mpsc as queue;

use super::{Driver, RemoteReference, Surroundings};

/// So many requests of one call are under way at once: services allow some hundred a second.
const AT_ONCE: usize = 8;

/// A key in a service.
pub struct RemoteKey {
    driver: Arc<Driver>,
    service: &'static str,
    public: PublicKey,
    details: KeyDetails,
    work: queue::UnboundedSender<Work>,
}

/// Requests for signatures, and where the answer goes.
struct Work {
    questions: Vec<Bytes>,
    answer: mpsc::Sender<Result<Vec<Vec<u8>>, KeyError>>,
}

/// What the thread says first.
type Opened = Result<(Arc<Driver>, PublicKey), KeyError>;

impl RemoteKey {
    /// Asks the service for the public half of a key. `log` asks for signatures over digests, as logs need them.
    ///
    /// # Errors
    /// `Service` of any kind; `UnsupportedKind`; `Unsupported` for a key that signs whole messages only, with `log`.
    pub fn open(
        reference: &RemoteReference,
        surroundings: Surroundings,
        log: bool,
    ) -> Result<Self, KeyError> {
        let service = reference.service();
        let driver = Driver::new(reference, surroundings)?;
        let (work, waiting) = queue::unbounded_channel();
        let (answer, opened) = mpsc::channel();
        thread::Builder::new()
            .name("key-service".to_owned())
            .spawn(move || run(driver, waiting, &answer))
            .map_err(|error| unavailable(service, &error.to_string()))?;
        let opened = opened.recv().map_err(|_| ended(service))?;
        let (driver, public) = opened?;
        let details = details_for(public.kind(), log).ok_or(KeyError::UnsupportedKind)?;
        if !driver.can_sign(details) {
            return Err(KeyError::Unsupported(details));
        }
        Ok(Self {
            driver,
            service,
            public,
            details,
            work,
        })
    }

    /// Signs messages, and verifies what comes back.
    fn sign_as(&self, details: KeyDetails, messages: &[&[u8]]) -> Result<Vec<Vec<u8>>, KeyError> {
        let question = |message: &&[u8]| self.driver.question(details, message);
        let questions = messages.iter().map(question).collect::<Result<_, _>>()?;
        let (answer, signed) = mpsc::channel();
        let sent = self.work.send(Work { questions, answer });
        sent.map_err(|_| ended(self.service))?;
        let signatures = signed.recv().map_err(|_| ended(self.service))??;
        for (message, signature) in messages.iter().zip(&signatures) {
            // The answer of another key, of another version of it, or of a service that hashed in another way.
            let verified = self.public.verify_as(details, message, signature);
            verified.map_err(|_| KeyError::WrongSignature)?;
        }
        Ok(signatures)
    }
}

impl Signer for RemoteKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn details(&self) -> KeyDetails {
        self.details
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut signatures = self.sign_as(self.details, &[message])?;
        Ok(signatures.swap_remove(0))
    }

    fn sign_many(&self, inputs: &[Input<'_>]) -> Result<Vec<Vec<u8>>, KeyError> {
        // Some services hash for themselves: they are given whole messages.
        let mut messages = Vec::new();
        for input in inputs {
            match input {
                Input::Message(message) => messages.push(*message),
                Input::Digest(_) => return Err(KeyError::WholeMessage),
            }
        }
        self.sign_as(self.details, &messages)
    }

    fn prove_possession(&self, challenge: &[u8]) -> Result<Vec<u8>, KeyError> {
        let details = match self.details {
            KeyDetails::Ed25519Ph => KeyDetails::Ed25519,
            other => other,
        };
        let mut signatures = self.sign_as(details, &[challenge])?;
        Ok(signatures.swap_remove(0))
    }
}

impl std::fmt::Debug for RemoteKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RemoteKey")
            .field("service", &self.service)
            .field("details", &self.details)
            .finish_non_exhaustive()
    }
}

/// The thread: it opens the key, and asks for signatures until nobody has the key any more.
fn run(driver: Driver, mut waiting: queue::UnboundedReceiver<Work>, opened: &mpsc::Sender<Opened>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    // Without a runtime the channel closes, which says as much.
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let Some(driver) = open(driver, opened).await else {
            return;
        };
        while let Some(work) = waiting.recv().await {
            // Who asked waits for the answer.
            let _ = work.answer.send(sign(&driver, work.questions).await);
        }
    });
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
}

async fn open(mut driver: Driver, opened: &mpsc::Sender<Opened>) -> Option<Arc<Driver>> {
    match driver.public_key().await {
        Ok(public) => {
            let driver = Arc::new(driver);
            let _ = opened.send(Ok((Arc::clone(&driver), public)));
            Some(driver)
        }
        Err(error) => {
            let _ = opened.send(Err(error));
            None
        }
    }
}

async fn sign(driver: &Driver, questions: Vec<Bytes>) -> Result<Vec<Vec<u8>>, KeyError> {
    stream::iter(questions)
        .map(|question| driver.sign(question))
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

fn unavailable(service: &'static str, what: &str) -> KeyError {
    KeyError::service(service, ServiceFailure::Unavailable, what)
}

fn ended(service: &'static str) -> KeyError {
    unavailable(service, "the thread that speaks to it has ended")
}
