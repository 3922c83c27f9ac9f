//! Bodies that need not fit into memory: a request's, part by part, and an answer's, out of a file.
//!
//! What a body means is not decided here.

use std::fs::File;
use std::io::{self, Read as _};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use tokio::task::JoinHandle;

/// Time for the next part of a request's body.
const PART_DEADLINE: Duration = Duration::from_secs(30);
/// Time for a body that is read as a whole.
const WHOLE_DEADLINE: Duration = Duration::from_secs(30);
/// Bytes of a body that are read although nobody wants them, so that who sends them hears the answer …
const MAX_UNWANTED: usize = 8 << 20;
/// … and the time for them.
const UNWANTED_DEADLINE: Duration = Duration::from_secs(5);
/// Bytes of a file that wait in memory for the peer to take them.
const PIECE: u64 = 256 << 10;

/// The ways in which a request's body is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// The connection ended before the body did.
    Incomplete,
    /// It is larger than may be, in bytes.
    TooLarge(usize),
    /// No further part came in time.
    TooSlow,
}

/// A request's body on its way in.
pub(crate) enum Received {
    /// From a socket.
    Stream(Incoming),
    /// From this process.
    Whole(Bytes),
}

impl Received {
    /// Waits for the next part; none after the last one.
    pub(crate) async fn part(&mut self) -> Result<Option<Bytes>, BodyError> {
        let stream = match self {
            Self::Whole(bytes) => return Ok(Some(mem::take(bytes)).filter(|part| !part.is_empty())),
            Self::Stream(stream) => stream,
        };
        loop {
            let frame = tokio::time::timeout(PART_DEADLINE, stream.frame());
            match frame.await {
                Err(_) => return Err(BodyError::TooSlow),
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => return Err(BodyError::Incomplete),
                // Trailers say nothing to a registry.
                Ok(Some(Ok(frame))) => {
                    if let Ok(part) = frame.into_data() {
                        return Ok(Some(part));
                    }
                }
            }
        }
    }

    /// Reads all of a body of at most `limit` bytes.
    pub(crate) async fn whole(&mut self, limit: usize) -> Result<Bytes, BodyError> {
        let read = async {
            let mut whole = BytesMut::new();
            while let Some(part) = self.part().await? {
                if whole.len() + part.len() > limit {
                    return Err(BodyError::TooLarge(limit));
                }
                whole.extend_from_slice(&part);
            }
            Ok(whole.freeze())
        };
        let read = tokio::time::timeout(WHOLE_DEADLINE, read).await;
        read.unwrap_or(Err(BodyError::TooSlow))
    }

    /// Reads what nobody wants, within bounds; says whether nothing is left of it. A connection with an unread rest cannot
    /// go on, and who is still sending when it ends may never hear why.
    pub(crate) async fn drain(&mut self) -> bool {
        let drained = async {
            let mut length = 0;
            while let Ok(Some(part)) = self.part().await {
                length += part.len();
                if length > MAX_UNWANTED {
                    break;
                }
            }
        };
        // Time that is up shows in what is left.
        let _ = tokio::time::timeout(UNWANTED_DEADLINE, drained).await;
        match self {
            Self::Stream(stream) => stream.is_end_stream(),
            Self::Whole(_) => true,
        }
    }
}

/// An answer's body on its way out.
pub(crate) enum Body {
    /// A part of a file.
    File(FilePart),
    /// Bytes in memory.
    Whole(Bytes),
}

impl Body {
    /// Reads all of it; `FileTooLarge` when that is more than `limit` bytes.
    pub(crate) async fn whole(self, limit: u64) -> io::Result<Bytes> {
        let part = match self {
            Self::Whole(bytes) => return Ok(bytes),
            Self::File(part) => part,
        };
        if part.left > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let Some(file) = part.file else {
            return Ok(Bytes::new());
        };
        let read = tokio::task::spawn_blocking(move || read_piece(file, part.left)).await;
        Ok(read.map_err(io::Error::other)??.1)
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(bytes)
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::File(part) => part
                .poll_piece(context)
                .map(|piece| piece.map(|piece| piece.map(Frame::data))),
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(mem::take(bytes))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::File(part) => part.left,
            Self::Whole(bytes) => bytes.len() as u64,
        })
    }
}

/// The next `left` bytes of an open file. No thread waits for a peer that is slow: each piece is read when the one before
/// it was taken.
pub(crate) struct FilePart {
    /// None while a piece is being read, and after a failure.
    file: Option<File>,
    left: u64,
    reading: Option<JoinHandle<io::Result<(File, Bytes)>>>,
}

impl FilePart {
    /// Takes a file that stands where the part begins.
    pub(crate) const fn new(file: File, length: u64) -> Self {
        Self {
            file: Some(file),
            left: length,
            reading: None,
        }
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.reading.is_none() {
            let Some(file) = self.file.take().filter(|_| self.left > 0) else {
                return Poll::Ready(None);
            };
            let length = self.left.min(PIECE);
            self.reading = Some(tokio::task::spawn_blocking(move || {
                read_piece(file, length)
            }));
        }
        let Some(reading) = &mut self.reading else {
            return Poll::Ready(None);
        };
        let read = ready!(Pin::new(reading).poll(context));
        self.reading = None;
        Poll::Ready(Some(
            read.unwrap_or_else(|error| Err(io::Error::other(error)))
                .map(|(file, bytes)| {
                    self.file = Some(file);
                    self.left -= bytes.len() as u64;
                    bytes
                }),
        ))
    }
}

fn read_piece(mut file: File, length: u64) -> io::Result<(File, Bytes)> {
    let length = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut piece = vec![0; length];
    file.read_exact(&mut piece)?;
    Ok((file, piece.into()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::*;

    fn file(length: u32) -> File {
        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        file.write_all(&content).unwrap();
        file.rewind().unwrap();
        file
    }

    #[tokio::test]
    async fn a_file_comes_in_pieces_and_in_order() {
        let length = 3 * PIECE as u32 + 7;
        let mut body = Body::File(FilePart::new(file(length), u64::from(length)));
        let (mut count, mut at) = (0, 0_u32);
        while let Some(frame) = body.frame().await {
            for byte in frame.unwrap().into_data().unwrap() {
                assert_eq!(byte, (at % 251) as u8);
                at += 1;
            }
            count += 1;
        }
        assert_eq!((count, at), (4, length));
        assert!(body.is_end_stream());
    }

    #[tokio::test]
    async fn a_file_that_is_shorter_than_promised_is_an_error() {
        let mut body = Body::File(FilePart::new(file(10), 11));
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let body = Body::File(FilePart::new(file(10), 10));
        let error = body.whole(9).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[tokio::test]
    async fn a_body_in_memory_is_one_part_and_bounded() {
        let mut body = Received::Whole(Bytes::from_static(b"abc"));
        assert_eq!(body.part().await.unwrap().unwrap(), "abc");
        assert_eq!(body.part().await, Ok(None));
        let mut body = Received::Whole(Bytes::from_static(b"abc"));
        assert_eq!(body.whole(2).await, Err(BodyError::TooLarge(2)));
    }
}
