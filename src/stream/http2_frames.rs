//! Follows the frames that an HTTP/2 server writes, so that the final record before the alert can be GOAWAY.
//!
//! A client whose connection is cut reads only that the connection failed: most libraries report no alert. A
//! GOAWAY frame is what HTTP/2 has to name the reason (RFC 9113 section 6.8), and gRPC's libraries show its
//! debug data. It is written here and not by the server, because the cut allows the server no more writes.
//! It is one short frame with a reason code, so that it neither delays the cut nor carries data of the
//! application.
//!
//! Trailers of the calls in progress would need HPACK and the knowledge which streams are gRPC: on any other
//! stream they would make a truncated response look complete.

use crate::live::CloseReason;

/// The length of a frame's header (RFC 9113 section 4.1).
const HEADER: usize = 9;
/// The highest stream identifier.
const MAX_STREAM: u32 = 0x7fff_ffff;

const HEADERS: u8 = 0x1;
const SETTINGS: u8 = 0x4;
const PUSH_PROMISE: u8 = 0x5;
const GOAWAY: u8 = 0x7;
const CONTINUATION: u8 = 0x9;

/// The position in the frames that were written.
#[derive(Debug, Default)]
pub(super) struct Http2Frames {
    /// The header of the frame that is being written.
    header: [u8; HEADER],
    /// How much of it was written; 0 between frames.
    header_written: usize,
    payload_written: usize,
    /// The last stream of the GOAWAY frame that is being written.
    last_stream: [u8; 4],
    /// The last stream of a GOAWAY frame that was written.
    goaway_sent: Option<u32>,
    /// Only CONTINUATION may follow (RFC 9113 section 6.10).
    in_field_block: bool,
    /// SETTINGS was written, which must be the first frame (RFC 9113 section 3.4).
    has_begun: bool,
}

impl Http2Frames {
    /// Follows bytes that TLS has accepted.
    pub(super) fn written(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.header_written < HEADER {
                let place = &mut self.header[self.header_written..];
                let count = place.len().min(bytes.len());
                place[..count].copy_from_slice(&bytes[..count]);
                self.header_written += count;
                bytes = &bytes[count..];
            } else {
                let count = (self.payload() - self.payload_written).min(bytes.len());
                if self.kind() == GOAWAY {
                    let wanted = self.last_stream.iter_mut().skip(self.payload_written);
                    for (place, byte) in wanted.zip(&bytes[..count]) {
                        *place = *byte;
                    }
                }
                self.payload_written += count;
                bytes = &bytes[count..];
            }
            if self.header_written == HEADER && self.payload_written == self.payload() {
                self.frame_ends();
            }
        }
    }

    fn frame_ends(&mut self) {
        const END_HEADERS: u8 = 0x4;

        match self.kind() {
            SETTINGS => self.has_begun = true,
            HEADERS | PUSH_PROMISE | CONTINUATION => {
                self.in_field_block = self.header[4] & END_HEADERS == 0;
            }
            GOAWAY => self.goaway_sent = Some(u32::from_be_bytes(self.last_stream) & MAX_STREAM),
            _ => {}
        }
        self.header_written = 0;
        self.payload_written = 0;
    }

    const fn kind(&self) -> u8 {
        self.header[3]
    }

    /// The length of the payload.
    fn payload(&self) -> usize {
        let [a, b, c, ..] = self.header;
        usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)
    }

    /// GOAWAY with the reason code as its debug data. Empty where no frame may follow: in the middle of
    /// another one, or before HTTP/2 has begun.
    ///
    /// Any stream may have been processed, so that no client sends a request again by this frame.
    pub(super) fn goaway(&self, why: &CloseReason) -> Vec<u8> {
        const NO_ERROR: u32 = 0x0;
        const INADEQUATE_SECURITY: u32 = 0xc;

        if self.header_written > 0 || self.in_field_block || !self.has_begun {
            return Vec::new();
        }
        let code = match why {
            CloseReason::NotAdmitted(_) => INADEQUATE_SECURITY,
            _ => NO_ERROR,
        };
        // It must not increase.
        let last_stream = self.goaway_sent.unwrap_or(MAX_STREAM);
        let debug = why.reason().as_bytes();
        let length = u8::try_from(8 + debug.len()).unwrap_or(8);
        let mut frame = vec![0, 0, length, GOAWAY, 0, 0, 0, 0, 0];
        frame.extend(last_stream.to_be_bytes());
        frame.extend(code.to_be_bytes());
        frame.extend(&debug[..usize::from(length) - 8]);
        frame
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.extend(payload);
        frame
    }

    fn goaway_after(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut followed = Http2Frames::default();
        for frame in frames {
            followed.written(frame);
        }
        followed.goaway(&CloseReason::ShutDown)
    }

    const SHUT_DOWN: &[u8] = b"\x00\x00\x11\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\0shut_down";

    #[test]
    fn it_follows_a_whole_frame_only() {
        let settings = frame(SETTINGS, 0, &[0; 6]);
        let data = frame(0, 0, &[7; 300]);
        assert_eq!(goaway_after(slice::from_ref(&settings)), SHUT_DOWN);
        assert_eq!(goaway_after(&[settings.clone(), data.clone()]), SHUT_DOWN);
        assert_eq!(goaway_after(&[]), b"", "HTTP/2 has not begun");
        assert_eq!(goaway_after(slice::from_ref(&data)), b"");
        for end in 1..data.len() {
            let part = data[..end].to_vec();
            assert_eq!(goaway_after(&[settings.clone(), part]), b"", "{end}");
        }
        // In any pieces.
        for size in 1..20 {
            let all = [settings.clone(), data.clone(), settings.clone()].concat();
            let pieces: Vec<_> = all.chunks(size).map(<[u8]>::to_vec).collect();
            assert_eq!(goaway_after(&pieces), SHUT_DOWN);
        }
    }

    #[test]
    fn it_does_not_interrupt_a_field_block() {
        let settings = frame(SETTINGS, 0, b"");
        let begun = [settings, frame(HEADERS, 0, b"a")];
        assert_eq!(goaway_after(&begun), b"");
        let continued = [begun.to_vec(), vec![frame(CONTINUATION, 0, b"b")]].concat();
        assert_eq!(goaway_after(&continued), b"");
        let ended = [continued, vec![frame(CONTINUATION, 4, b"c")]].concat();
        assert_eq!(goaway_after(&ended), SHUT_DOWN);
    }

    /// RFC 9113 section 6.8.
    #[test]
    fn its_last_stream_does_not_increase() {
        let settings = frame(SETTINGS, 0, b"");
        let earlier = frame(GOAWAY, 0, &[0, 0, 0, 9, 0, 0, 0, 0]);
        let pieces: Vec<_> = earlier.chunks(2).map(<[u8]>::to_vec).collect();
        let frames = [vec![settings], pieces].concat();
        assert_eq!(goaway_after(&frames)[9..13], [0, 0, 0, 9]);
    }
}
