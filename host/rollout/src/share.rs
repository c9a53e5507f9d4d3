use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// All of it, in basis points.
const WHOLE: u16 = 10_000;

/// A canary's share of the calls, in basis points (hundredths of a percent): 1 to 9999.
///
/// As text `5%`, `0.5%` or `0.05%`; as JSON the number of basis points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Share(u16);

/// Something that is no share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found {0:?}; a share is a percentage from 0.01% to 99.99%, such as 5% or 0.5%")]
pub struct ShareError(String);

impl Share {
    /// 1 to 9999.
    pub fn basis_points(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for Share {
    type Error = ShareError;

    fn try_from(basis_points: u16) -> Result<Share, ShareError> {
        if (1..WHOLE).contains(&basis_points) {
            Ok(Share(basis_points))
        } else {
            Err(ShareError(format!("{basis_points} basis points")))
        }
    }
}

impl From<Share> for u16 {
    fn from(share: Share) -> u16 {
        share.0
    }
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Share, ShareError> {
        parse(text).and_then(|points| Share::try_from(points).ok()).ok_or_else(|| ShareError(text.to_owned()))
    }
}

/// Basis points of a percentage with at most two digits after the point.
fn parse(text: &str) -> Option<u16> {
    let number = text.trim().strip_suffix('%')?.trim_end();
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || part.len() > 2 || !is_number(whole) || !is_number(part) {
        return None;
    }
    let part: u16 = format!("{part:0<2}").parse().ok()?;
    whole.parse::<u16>().ok()?.checked_mul(100)?.checked_add(part)
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole} %"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{} %", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02} %"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_become_basis_points_and_back() {
        for (text, points, shown) in [
            ("5%", 500, "5 %"),
            ("0.5%", 50, "0.5 %"),
            ("0.05 %", 5, "0.05 %"),
            ("99.99%", 9999, "99.99 %"),
            ("12.30%", 1230, "12.3 %"),
        ] {
            let share: Share = text.parse().unwrap();
            assert_eq!((share.basis_points(), share.to_string().as_str()), (points, shown), "{text}");
        }
    }

    #[test]
    fn nothing_all_and_what_is_no_percentage_are_no_share() {
        for text in ["0%", "100%", "5", "0.001%", "-1%", "+5%", ".5%", "", "%", "655360%", "1e1%", "5%%"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Share>("10000").is_err());
        assert_eq!(serde_json::to_string(&"5%".parse::<Share>().unwrap()).unwrap(), "500");
    }
}
