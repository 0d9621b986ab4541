//! A text as a picture that cameras read (a QR code), drawn by one path.

use std::fmt::Write;

use qrcode::{Color, EcLevel, QrCode};

/// Modules of nothing around it, which readers want.
const MARGIN: usize = 4;

/// The picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// How wide and high it is.
    pub side: usize,
    /// What is dark, as the `d` of an SVG path.
    pub path: String,
}

impl Picture {
    /// Of a text; none: it is too long for one.
    pub fn of(text: &str) -> Option<Picture> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
        let width = code.width();
        let mut path = String::new();
        for (place, color) in code.to_colors().into_iter().enumerate() {
            if color == Color::Dark {
                let _ = write!(path, "M{} {}h1v1h-1z", place % width + MARGIN, place / width + MARGIN);
            }
        }
        Some(Picture { side: width + 2 * MARGIN, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_the_three_corners_by_which_readers_find_it() {
        let picture = Picture::of("otpauth://totp/Gatepost:alice?secret=ABC&issuer=Gatepost").expect("a picture");
        assert!(picture.side > 2 * MARGIN + 20);
        let last = picture.side - MARGIN - 1;
        for (x, y) in [(MARGIN, MARGIN), (last, MARGIN), (MARGIN, last)] {
            assert!(picture.path.contains(&format!("M{x} {y}h1v1h-1z")), "{x} {y}");
        }
        assert_eq!(Picture::of(&"x".repeat(10_000)), None);
    }
}
