//! The plain structures: whatever decodes encodes to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steve_protocol::handshake::ClientHello;
use steve_protocol::key_config::KeyConfig;
use steve_protocol::session::StreamOpen;

fuzz_target!(|data: &[u8]| {
    if let Ok(hello) = ClientHello::decode(data) {
        assert_eq!(hello.encode(), data);
        let prefix = data.first_chunk().expect("a whole message has a prefix");
        assert_eq!(ClientHello::len_from_prefix(prefix), Ok(data.len()));
    }
    if let Ok(config) = KeyConfig::decode(data) {
        assert_eq!(config.encoded(), data);
        assert_eq!(KeyConfig::new(config.fields().clone()), Ok(config));
    }
    if let Ok(encoded) = data.try_into()
        && let Ok(open) = StreamOpen::decode(encoded)
    {
        assert_eq!(open.encode(), data);
    }
});
