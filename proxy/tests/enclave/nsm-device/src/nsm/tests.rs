use super::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use steve_protocol::evidence::UnverifiedDocument;

fn module() -> Nsm {
    module_with(false)
}

fn module_with(indefinite_length_maps: bool) -> Nsm {
    let authority = DevAuthority::new(&mut StdRng::seed_from_u64(1), now_ms()).unwrap();
    let authority = authority.indefinite_length_maps(indefinite_length_maps);
    Nsm::new(Arc::new(authority), &Measurements([[7; PCR_LEN]; LOCKED]))
}

fn ask(nsm: &mut Nsm, request: &Request) -> Response {
    let mut encoded = Vec::new();
    ciborium::into_writer(request, &mut encoded).unwrap();
    nsm.answer(&encoded)
}

fn error(response: Response) -> ErrorCode {
    match response {
        Response::Error(code) => code,
        other => panic!("{other:?} instead of an error"),
    }
}

fn attest(user_data: usize, nonce: usize, public_key: usize) -> Request {
    let field = |length: usize| Some(vec![1; length].into());
    Request::Attestation {
        user_data: field(user_data),
        nonce: field(nonce),
        public_key: field(public_key),
    }
}

#[test]
fn registers_of_the_image_are_locked() {
    let mut nsm = module();
    for index in [0, 15] {
        let extend = Request::ExtendPCR { index, data: vec![1] };
        assert!(matches!(error(ask(&mut nsm, &extend)), ErrorCode::ReadOnlyIndex));
        let lock = Request::LockPCR { index };
        assert!(matches!(error(ask(&mut nsm, &lock)), ErrorCode::ReadOnlyIndex));
    }
}

#[test]
fn the_others_are_extended_until_they_are_locked() {
    let mut nsm = module();
    let extend = Request::ExtendPCR { index: 16, data: vec![1, 2, 3] };
    let expected = Sha384::new().chain_update([0; PCR_LEN]).chain_update([1, 2, 3]).finalize();
    match ask(&mut nsm, &extend) {
        Response::ExtendPCR { data } => assert_eq!(data, expected[..]),
        other => panic!("{other:?}"),
    }
    assert!(matches!(ask(&mut nsm, &Request::LockPCRs { range: 17 }), Response::LockPCRs));
    assert!(matches!(error(ask(&mut nsm, &extend)), ErrorCode::ReadOnlyIndex));
    match ask(&mut nsm, &Request::DescribePCR { index: 16 }) {
        Response::DescribePCR { lock: true, data } => assert_eq!(data, expected[..]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn there_are_32_registers() {
    let mut nsm = module();
    for request in [
        Request::DescribePCR { index: 32 },
        Request::ExtendPCR { index: 32, data: vec![] },
        Request::LockPCR { index: u16::MAX },
        Request::LockPCRs { range: 33 },
    ] {
        assert!(matches!(error(ask(&mut nsm, &request)), ErrorCode::InvalidIndex), "{request:?}");
    }
    assert!(matches!(ask(&mut nsm, &Request::LockPCRs { range: 32 }), Response::LockPCRs));
}

#[test]
fn documents_hold_the_locked_registers() {
    // A map of nine members, and one that says where it ends.
    for (indefinite, start) in [(false, b"\xa9\x69module_id"), (true, b"\xbf\x69module_id")] {
        let mut nsm = module_with(indefinite);
        ask(&mut nsm, &Request::LockPCR { index: 20 });
        let Response::Attestation { document } = ask(&mut nsm, &attest(512, 512, 1024)) else {
            panic!("no document");
        };
        assert!(document.windows(start.len()).any(|window| window == start));
        let document = UnverifiedDocument::decode(&document).unwrap();
        let indices: Vec<u8> = document.pcrs().iter().map(|(index, _)| index).collect();
        assert_eq!(indices, (0..16).chain([20]).collect::<Vec<u8>>());
    }
}

#[test]
fn fields_have_limits() {
    let mut nsm = module();
    for request in [attest(513, 0, 0), attest(0, 513, 0), attest(0, 0, 1025)] {
        assert!(matches!(error(ask(&mut nsm, &request)), ErrorCode::InputTooLarge));
    }
    let large = vec![0; MAX_REQUEST + 1];
    assert!(matches!(error(nsm.answer(&large)), ErrorCode::InputTooLarge));
}

#[test]
fn nonsense_is_an_invalid_operation() {
    let mut nsm = module();
    for request in
        [&b""[..], b"\xff", b"\x65Hello", b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", &[0x81; 4000]]
    {
        assert!(matches!(error(nsm.answer(request)), ErrorCode::InvalidOperation), "{request:x?}");
    }
}
