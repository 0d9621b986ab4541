//! As much of protocol buffers as a collector has to be told: varints, fixed numbers, texts and messages in messages
//! (<https://protobuf.dev/programming-guides/encoding/>).

/// A message while it is written.
#[derive(Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn tag(&mut self, field: u32, wire: u32) {
        self.varint(u64::from(field << 3 | wire));
    }

    /// A whole number or an enum's.
    pub fn number(&mut self, field: u32, value: u64) {
        self.tag(field, 0);
        self.varint(value);
    }

    /// Eight bytes: `fixed64`, `sfixed64`.
    pub fn fixed(&mut self, field: u32, value: u64) {
        self.tag(field, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// `double`.
    pub fn double(&mut self, field: u32, value: f64) {
        self.fixed(field, value.to_bits());
    }

    /// Bytes, and texts.
    pub fn bytes(&mut self, field: u32, value: &[u8]) {
        self.tag(field, 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A text.
    pub fn text(&mut self, field: u32, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    /// Several of eight bytes, packed.
    pub fn packed(&mut self, field: u32, values: impl Iterator<Item = u64>) {
        let packed: Vec<u8> = values.flat_map(u64::to_le_bytes).collect();
        self.bytes(field, &packed);
    }

    /// A message in this one.
    pub fn message(&mut self, field: u32, write: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }

    /// `KeyValue` with a text (opentelemetry.proto.common.v1).
    pub fn attribute(&mut self, field: u32, key: &str, value: &str) {
        self.message(field, |pair| {
            pair.text(1, key);
            pair.message(2, |any| any.text(1, value));
        });
    }

    /// `KeyValue` with a number.
    pub fn attribute_number(&mut self, field: u32, key: &str, value: u64) {
        self.message(field, |pair| {
            pair.text(1, key);
            pair.message(2, |any| any.number(3, value));
        });
    }
}

/// `Resource`: which server speaks (opentelemetry.proto.resource.v1).
pub fn resource(server_name: &str, version: &str) -> Vec<u8> {
    let mut resource = Message::default();
    resource.attribute(1, "service.name", "gatepost");
    resource.attribute(1, "service.version", version);
    resource.attribute(1, "service.instance.id", server_name);
    resource.attribute(1, "host.name", server_name);
    resource.0
}

/// `InstrumentationScope`.
pub fn scope(scope: &mut Message) {
    scope.text(1, "gatepost");
}

/// Nanoseconds of milliseconds.
pub fn nanoseconds(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_specification_shows() {
        let mut message = Message::default();
        message.number(1, 150);
        message.text(2, "testing");
        message.message(3, |inner| inner.number(1, 150));
        let expected = [&[0x08, 0x96, 0x01][..], &[0x12, 0x07], b"testing", &[0x1a, 0x03, 0x08, 0x96, 0x01]];
        assert_eq!(message.0, expected.concat());
        let mut largest = Message::default();
        largest.number(1, u64::MAX);
        assert_eq!(largest.0, [&[0x08][..], &[0xff; 9], &[0x01]].concat());
    }
}
