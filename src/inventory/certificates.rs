//! What is read of a certificate: until when it is valid, and which addresses it names.
//!
//! Source: RFC 5280, sections 4.1 and 4.2.1.6; RFC 7468 for the lines around it.

use std::net::IpAddr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    /// Its last second, since 1970.
    pub(super) until: i64,
    /// Addresses among the names of its subject.
    pub(super) addresses: Vec<IpAddr>,
}

/// What begins each of them.
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Whether a text holds a certificate and no private key.
///
/// # Errors
/// Why not, to follow its name.
pub(super) fn is_public(text: &str) -> Result<(), &'static str> {
    match (text.contains("PRIVATE KEY-----"), text.contains(BEGIN)) {
        (true, _) => Err("holds a private key, which is a secret"),
        (false, false) => Err("holds no certificate in PEM"),
        (false, true) => Ok(()),
    }
}

/// The first certificate of a text, which is its owner's; `None` of one that cannot be read.
pub(super) fn first(text: &str) -> Option<Certificate> {
    let (_, rest) = text.split_once(BEGIN)?;
    let der = base64(rest.split_once(END)?.0)?;
    let (_, mut certificate) = Der(&der).next()?;
    let (_, signed) = certificate.next()?;
    let parts: Vec<(u8, Der<'_>)> = signed.collect();
    // A version comes first, as it does wherever there are extensions.
    let after = parts.iter().position(|(tag, _)| *tag == INTEGER)?;
    let mut validity = parts.get(after + 3)?.1;
    let (kind, until) = validity.nth(1)?;
    let until = seconds(kind, until.0)?;
    let extensions = parts.iter().find(|(tag, _)| *tag == EXTENSIONS);
    let extensions = extensions.and_then(|(_, it)| Der(it.0).next());
    let mut addresses = Vec::new();
    for (_, mut extension) in extensions.map(|(_, list)| list).into_iter().flatten() {
        if extension.next()?.1.0 != SUBJECT_ALT_NAME {
            continue;
        }
        let (_, value) = extension.find(|(tag, _)| *tag == OCTETS)?;
        let (_, names) = Der(value.0).next()?;
        addresses.extend(names.filter(|(tag, _)| *tag == ADDRESS).filter_map(|(_, it)| ip(it.0)));
    }
    Some(Certificate { until, addresses })
}

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const EXTENSIONS: u8 = 0xa3;
/// `iPAddress` of a `GeneralName`.
const ADDRESS: u8 = 0x87;
/// 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// Values of DER, one after the other.
#[derive(Debug, Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Iterator for Der<'a> {
    type Item = (u8, Der<'a>);

    /// Its tag and what it holds. What is cut is the end.
    fn next(&mut self) -> Option<Self::Item> {
        let [tag, first, rest @ ..] = self.0 else { return None };
        let (length, rest) = match usize::from(*first) {
            short @ ..0x80 => (short, rest),
            long => {
                let (bytes, rest) = rest.split_at_checked(long & 0x7f)?;
                let add = |sum: usize, byte: &u8| Some(sum.checked_mul(256)? + usize::from(*byte));
                (bytes.iter().try_fold(0, add)?, rest)
            }
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, Der(value)))
    }
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// `YYMMDDHHMMSSZ`, or with four digits of the year.
fn seconds(kind: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = text.split_at_checked(text.len().checked_sub(10)?)?;
    let year: i16 = year.parse().ok()?;
    let year = match (kind, year) {
        (UTC_TIME, 50..) => 1900 + year,
        (UTC_TIME, _) => 2000 + year,
        _ => year,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    let at = DateTime::new(year, part(0)?, part(2)?, part(4)?, part(6)?, part(8)?, 0).ok()?;
    Some(TimeZone::UTC.to_timestamp(at).ok()?.as_second())
}

fn base64(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes().filter(|it| !it.is_ascii_whitespace() && *it != b'=') {
        let digit = DIGITS.iter().position(|it| *it == byte)?;
        bits = bits << 6 | u32::try_from(digit).ok()?;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `openssl ca -enddate 20340228235959Z`, of a request with subjectAltName=IP:10.0.0.1,IP:fd00::1,DNS:m1.
    const M1: &str = include_str!("../../tests/fixtures/tls/m1.pem");

    #[test]
    fn a_certificate_says_whom_it_names_and_until_when() {
        let read = first(M1).unwrap();
        let addresses = ["10.0.0.1", "fd00::1"].map(|it| it.parse::<IpAddr>().unwrap());
        assert_eq!(read.addresses, addresses);
        assert_eq!(read.until, 2_024_783_999);
        assert_eq!(seconds(UTC_TIME, b"700101000000Z"), Some(0));
        assert_eq!(seconds(0x18, b"20500301000001Z"), Some(2_529_705_601));
    }

    #[test]
    fn what_is_cut_or_changed_is_no_certificate_or_another() {
        assert_eq!(first(&M1.replace("-----END", "")), None);
        for at in BEGIN.len() + 1..M1.len() {
            for other in ['A', '/'] {
                if M1.is_char_boundary(at) {
                    let text = format!("{}{other}{}", &M1[..at], &M1[at + 1..]);
                    // Nothing that stands in a file may stop us.
                    let _ = first(&text);
                }
            }
        }
    }

    #[test]
    fn a_private_key_is_not_public() {
        assert_eq!(is_public(M1), Ok(()));
        assert!(is_public(&format!("{M1}-----BEGIN PRIVATE KEY-----\n")).is_err());
        assert!(is_public("x").is_err());
    }
}
