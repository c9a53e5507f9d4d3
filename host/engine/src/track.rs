//! Which version of a plugin the calls that follow from one get.

/// What was decided about versions when a call began: it travels with the calls that follow from it, also to other
/// servers, so that one request never mixes two versions of a plugin. The engine only carries it along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Track(u64);

/// The lowest two bits say what was decided, the others hold the deployment's number.
const STABLE: u64 = 1;
const CANARY: u64 = 2;
const KIND: u64 = 3;

impl Track {
    /// Nobody has decided yet.
    pub const UNDECIDED: Self = Self(0);

    /// The stable version while the canary of this deployment runs. Numbers have 62 bits at most.
    #[must_use]
    pub const fn stable(deployment: u64) -> Self {
        Self(deployment << 2 | STABLE)
    }

    /// The canary of this deployment. Numbers have 62 bits at most.
    #[must_use]
    pub const fn canary(deployment: u64) -> Self {
        Self(deployment << 2 | CANARY)
    }

    /// As it came with a message; bits that no version of this host sends count as undecided.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        if matches!(bits & KIND, STABLE | CANARY) { Self(bits) } else { Self::UNDECIDED }
    }

    /// To be sent along with a call.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The deployment that it was decided for.
    #[must_use]
    pub const fn deployment(self) -> Option<u64> {
        if self.0 & KIND == 0 { None } else { Some(self.0 >> 2) }
    }

    /// Whether this call gets the canary of its deployment.
    #[must_use]
    pub const fn is_canary(self) -> bool {
        self.0 & KIND == CANARY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_survives_the_way_over_the_wire() {
        for (track, deployment, is_canary) in [
            (Track::UNDECIDED, None, false),
            (Track::stable(7), Some(7), false),
            (Track::canary(7), Some(7), true),
            (Track::canary((1 << 62) - 1), Some((1 << 62) - 1), true),
        ] {
            assert_eq!(Track::from_bits(track.bits()), track);
            assert_eq!((track.deployment(), track.is_canary()), (deployment, is_canary));
        }
        assert_eq!(Track::from_bits(3), Track::UNDECIDED);
        assert_eq!(Track::from_bits(4), Track::UNDECIDED);
    }
}
