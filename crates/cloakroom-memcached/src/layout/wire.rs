//! Numbers and texts as bytes, read strictly.

use cloakroom_core::{EndReason, PrincipalId, Timestamp};

use crate::error::Problem;

/// Bytes being written.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new(format: u8) -> Self {
        Self(vec![format])
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Seven bits a byte, the lowest first (LEB128).
    pub(crate) fn number(&mut self, mut number: u64) {
        loop {
            let [low, ..] = (number & 0x7F).to_le_bytes();
            number >>= 7;
            if number == 0 {
                return self.0.push(low);
            }
            self.0.push(low | 0x80);
        }
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.number(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Small where it is near zero, on either side.
    pub(crate) fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)).cast_unsigned());
    }

    pub(crate) fn instant(&mut self, instant: Timestamp) {
        self.signed(instant.as_millis());
    }

    /// Small where it is near `base`.
    pub(crate) fn instant_near(&mut self, base: Timestamp, instant: Timestamp) {
        self.signed(instant.as_millis().wrapping_sub(base.as_millis()));
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes(text.as_bytes());
    }

    pub(crate) fn reason(&mut self, reason: EndReason) {
        self.text(reason.as_str());
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Bytes being read: of one kind of item, whose name every error has.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// The bytes of a `what` in this format.
    pub(crate) fn new(bytes: &'a [u8], format: u8, what: &'static str) -> Result<Self, Problem> {
        match bytes.split_first() {
            Some((&found, rest)) if found == format => Ok(Self { rest, what }),
            Some((&found, _)) if found > format => Err(Problem::Later(found)),
            _ => Err(Problem::Damaged(what)),
        }
    }

    pub(crate) fn damaged(&self) -> Problem {
        Problem::Damaged(self.what)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Problem::Damaged(self.what))?;
        self.rest = rest;
        Ok(*array)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Problem> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn number(&mut self) -> Result<u64, Problem> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            if (bits << shift) >> shift != bits {
                return Err(self.damaged());
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.damaged())
    }

    /// A number of things that follow: no more than there are bytes left, so that damage asks for no memory.
    pub(crate) fn count(&mut self) -> Result<usize, Problem> {
        let count = self.number()?;
        usize::try_from(count).ok().filter(|count| *count <= self.rest.len()).ok_or_else(|| self.damaged())
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Problem> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    pub(crate) fn instant(&mut self) -> Result<Timestamp, Problem> {
        self.signed().map(Timestamp::from_millis)
    }

    pub(crate) fn instant_near(&mut self, base: Timestamp) -> Result<Timestamp, Problem> {
        self.signed().map(|near| Timestamp::from_millis(base.as_millis().wrapping_add(near)))
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Problem> {
        let length = self.count()?;
        let (text, rest) = self.rest.split_at_checked(length).ok_or(Problem::Damaged(self.what))?;
        self.rest = rest;
        std::str::from_utf8(text).map_err(|_| self.damaged())
    }

    pub(crate) fn principal(&mut self) -> Result<PrincipalId, Problem> {
        let text = self.text()?;
        PrincipalId::new(text).map_err(|_| self.damaged())
    }

    pub(crate) fn reason(&mut self) -> Result<EndReason, Problem> {
        let text = self.text()?;
        text.parse().map_err(|_| self.damaged())
    }

    /// Everything that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Makes sure that nothing is left.
    pub(crate) fn end(self) -> Result<(), Problem> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.damaged()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_and_instants_read_back(number: u64, signed: i64, base: i64) {
            let (base, instant) = (Timestamp::from_millis(base), Timestamp::from_millis(signed));
            let mut writer = Writer::new(1);
            writer.number(number);
            writer.signed(signed);
            writer.instant_near(base, instant);
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes, 1, "test").unwrap();
            prop_assert_eq!(reader.number().unwrap(), number);
            prop_assert_eq!(reader.signed().unwrap(), signed);
            prop_assert_eq!(reader.instant_near(base).unwrap(), instant);
            prop_assert!(reader.end().is_ok());
        }
    }

    #[test]
    fn a_number_that_is_too_long_is_damage() {
        for bytes in
            [[0xFF; 11].as_slice(), &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02], &[0x80]]
        {
            let bytes: Vec<u8> = [&[1], bytes].concat();
            assert!(Reader::new(&bytes, 1, "test").unwrap().number().is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_later_format_is_told_from_damage() {
        assert!(matches!(Reader::new(&[2], 1, "test"), Err(Problem::Later(2))));
        assert!(matches!(Reader::new(&[0], 1, "test"), Err(Problem::Damaged("test"))));
        assert!(matches!(Reader::new(&[], 1, "test"), Err(Problem::Damaged("test"))));
    }
}
