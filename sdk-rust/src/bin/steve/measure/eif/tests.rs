use super::*;

const SIGNED: &[u8] = include_bytes!("../../../../../tests/data/signed.eif");
const UNSIGNED: &[u8] = include_bytes!("../../../../../tests/data/unsigned.eif");

fn registers(image: &Image) -> Vec<(u8, String)> {
    image.pcrs.iter().map(|(index, pcr)| (*index, pcr.to_string())).collect()
}

/// As `eif_build` printed them when it wrote the files.
#[test]
fn pcrs_are_those_of_the_builder() {
    let image = measure(SIGNED).unwrap();
    let expected = [
        (
            0,
            "fa05c63734dffa1d7a48af1ac81b7f8c0f91e7bab7683c291511bc35d292b3736a6b804a7dfc7bf54ce4b2d3e4035bbc",
        ),
        (
            1,
            "5fe1aeda49d5d421c95a10148a9730a588b3543443aa54fc2bdac925a0d9250e5c39dd9e63169bba04db090a56c72bae",
        ),
        (
            2,
            "ce19d22a3254eb42d44040f172c0a45fac31aa7c61e10702f95a23228e9c285951752cf9a43889687fc1e7335d3ee594",
        ),
        (
            8,
            "5a0cacd89e27875574d00b9f08d93efd105f74aaea80e1f3ba7105c58886d915c4a39248393db82f50021856a2d3a163",
        ),
    ];
    assert_eq!(registers(&image), expected.map(|(index, pcr)| (index, pcr.to_owned())));
    assert_eq!(image.metadata.unwrap()["ImageName"], "example");

    let image = measure(UNSIGNED).unwrap();
    let expected = [
        (
            0,
            "5fe1aeda49d5d421c95a10148a9730a588b3543443aa54fc2bdac925a0d9250e5c39dd9e63169bba04db090a56c72bae",
        ),
        (
            1,
            "5fe1aeda49d5d421c95a10148a9730a588b3543443aa54fc2bdac925a0d9250e5c39dd9e63169bba04db090a56c72bae",
        ),
        (
            2,
            "21b9efbc184807662e966d34f390821309eeac6802309798826296bf3e8bec7c10edb30948c90ba67310f7b964fc500a",
        ),
    ];
    assert_eq!(registers(&image), expected.map(|(index, pcr)| (index, pcr.to_owned())));
}

/// Row 10: where a section ends is not part of PCR0, so a table that says something else than the
/// sections is refused.
#[test]
fn row_10_sections_are_where_the_header_says() {
    let kernel = &UNSIGNED[548..];
    assert_eq!(kernel[SECTION_HEADER_LEN..][..6], *b"kernel");
    for at in [OFFSETS_AT + 7, SIZES_AT + 7, OFFSETS_AT + 15, 548 + 11] {
        let mut image = UNSIGNED.to_vec();
        image[at] ^= 1;
        assert!(matches!(measure(&image[..]), Err(EifError::Table(_))), "{at}");
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    for at in 0..SIGNED.len() * 8 {
        let mut image = SIGNED.to_vec();
        image[at / 8] ^= 1 << (at % 8);
        assert!(measure(&image[..]).is_err(), "bit {at}");
    }
}

#[test]
fn an_image_cut_short_or_with_more_after_it_is_none() {
    for end in 0..SIGNED.len() {
        assert!(matches!(measure(&SIGNED[..end]), Err(EifError::Truncated)), "{end}");
    }
    let longer = [SIGNED, &[0]].concat();
    assert!(matches!(measure(&longer[..]), Err(EifError::Trailing)));
    assert!(matches!(measure(&[b'x'; 600][..]), Err(EifError::Magic)));
}

/// A section of another type, or in another place; the table knows of it.
#[test]
fn sections_in_another_order_are_refused() {
    for (at, kind) in [(548, COMMAND_LINE), (548, RAMDISK), (548 + 12 + 6, KERNEL)] {
        let mut image = UNSIGNED.to_vec();
        image[at..at + 2].copy_from_slice(&kind.to_be_bytes());
        assert!(matches!(measure(&image[..]), Err(EifError::Order(..))), "{at} {kind}");
    }
}

/// Nothing is allocated for a size that is only claimed.
#[test]
fn row_18_sizes_are_not_believed() {
    let mut image = SIGNED.to_vec();
    let metadata = 548 + 12 + 6 + 12 + 13;
    image[metadata + 4] = 0x7f;
    image[SIZES_AT + 16] = 0x7f;
    assert!(matches!(measure(&image[..]), Err(EifError::Truncated | EifError::TooLarge(2))));
}
