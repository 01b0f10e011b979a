//! The ZooKeeper wire format (jute): big-endian numbers, strings and buffers with a length before.
//! Source: apache/zookeeper, zookeeper-jute/src/main/resources/zookeeper.jute.

/// A request being written.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn int(mut self, value: i32) -> Writer {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn long(mut self, value: i64) -> Writer {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// A boolean "no": watches are never asked for, polling is enough here.
    pub(crate) fn no(mut self) -> Writer {
        self.0.push(0);
        self
    }

    pub(crate) fn bytes(self, value: &[u8]) -> Writer {
        let mut writer = self.int(i32::try_from(value.len()).unwrap_or(i32::MAX));
        writer.0.extend(value);
        writer
    }

    pub(crate) fn text(self, value: &str) -> Writer {
        self.bytes(value.as_bytes())
    }

    /// The packet: the body with its length before it.
    pub(crate) fn packet(self) -> Vec<u8> {
        Writer::default().bytes(&self.0).0
    }
}

/// An answer being read; `None` when it is shorter than it should be.
#[derive(Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn int(&mut self) -> Option<i32> {
        let (head, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(i32::from_be_bytes(*head))
    }

    pub(crate) fn long(&mut self) -> Option<i64> {
        let (head, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(i64::from_be_bytes(*head))
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        // -1 is a null buffer: a node that was made without data.
        let length = usize::try_from(self.int()?).unwrap_or(0);
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        self.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::{Reader, Writer};

    #[test]
    fn what_is_written_is_read_back() {
        let packet = Writer::default().int(-1).long(7).text("/mesos").no().packet();
        let mut reader = Reader(&packet);
        assert_eq!(reader.int(), Some(packet.len() as i32 - 4));
        assert_eq!((reader.int(), reader.long()), (Some(-1), Some(7)));
        assert_eq!(reader.text().as_deref(), Some("/mesos"));
        assert_eq!(reader.int(), None, "one byte is no number");
    }
}
