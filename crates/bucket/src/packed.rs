//! Contents that are stored packed, as gzip streams (RFC 1952) with all their members. They are unpacked as by Go's HTTP client, for
//! which bytes after the stream are an error.

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use net::Deadline;

/// Bytes that are unpacked between two looks at the deadline.
const STEP_BYTES: usize = 64 << 10;

/// Why a content cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It is not what it is said to be.
    #[error("failed to unpack it: {0}")]
    Gzip(#[from] io::Error),
    /// It has more bytes than it may have.
    #[error("more than {0} bytes once unpacked")]
    TooLarge(u64),
    /// The deadline came first.
    #[error("context deadline exceeded")]
    Deadline,
}

/// The content of what is stored packed.
pub fn unpacked(packed: impl Read) -> impl Read {
    MultiGzDecoder::new(BufReader::with_capacity(STEP_BYTES, packed))
}

/// Bytes of that content. This blocks.
///
/// # Errors
/// When it cannot be unpacked, has more than `limit` bytes, or takes too long.
pub fn unpacked_bytes(packed: impl Read, limit: u64, deadline: &Deadline) -> Result<u64, UnpackError> {
    let (mut content, mut buffer, mut bytes) = (unpacked(packed), vec![0; STEP_BYTES], 0_u64);
    loop {
        if deadline.is_over() {
            return Err(UnpackError::Deadline);
        }
        match content.read(&mut buffer)? {
            0 => return Ok(bytes),
            read => bytes = bytes.saturating_add(read as u64),
        }
        if bytes > limit {
            return Err(UnpackError::TooLarge(limit));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn bytes(packed: &[u8], limit: u64) -> Result<u64, String> {
        let deadline = Deadline::new(Duration::from_secs(60));
        unpacked_bytes(packed, limit, &deadline).map_err(|error| error.to_string())
    }

    #[test]
    fn all_members_of_a_stream_are_its_content() {
        let two = [packed(b"one "), packed(b"two")].concat();
        let mut text = String::new();
        unpacked(two.as_slice()).read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), bytes(&two, 7)), ("one two", Ok(7)));
        assert_eq!(bytes(&packed(b""), 0), Ok(0));
    }

    #[test]
    fn what_unpacks_to_too_much_ends_at_the_limit() {
        let bomb = packed(&vec![0; 8 << 20]);
        assert!(bomb.len() < 16 << 10, "{} bytes", bomb.len());
        assert_eq!(bytes(&bomb, 8 << 20), Ok(8 << 20));
        assert_eq!(bytes(&bomb, (8 << 20) - 1), Err("more than 8388607 bytes once unpacked".to_owned()));
        let members = bomb.repeat(3);
        assert_eq!(bytes(&members, 16 << 20), Err("more than 16777216 bytes once unpacked".to_owned()));
        let late = Deadline::new(Duration::ZERO);
        let error = unpacked_bytes(bomb.as_slice(), u64::MAX, &late).unwrap_err();
        assert_eq!(error.to_string(), "context deadline exceeded");
    }

    #[test]
    fn what_is_no_stream_or_no_whole_one_is_refused() {
        let whole = packed(b"content");
        for end in 1..whole.len() {
            assert!(bytes(&whole[..end], 99).unwrap_err().starts_with("failed to unpack it: "), "{end}");
        }
        for at in [0, 1, 2, whole.len() - 8, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert!(bytes(&damaged, 99).is_err(), "{at}");
        }
        for strange in
            [&b""[..], b"plain text", &[&whole[..], b"rest"].concat(), &[&whole[..], &[0; 8]].concat()]
        {
            assert!(bytes(strange, 99).unwrap_err().starts_with("failed to unpack it: "), "{strange:?}");
        }
        // A name in the head of a stream is read, but not without end.
        let endless = [&whole[..3], &[8], &whole[4..10], &vec![b'n'; 1 << 20]].concat();
        assert!(bytes(&endless, 99).is_err());
    }
}
