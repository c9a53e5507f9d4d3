//! Compares what arrived on one connection with what was recorded there, between two things that clients do.

use crate::difference::What;
use crate::package::{self, HEARTBEAT, is_push, kind, subject};
use crate::rules;

/// A recorded package of the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    /// The step, counted from 1.
    pub(crate) step: usize,
    pub(crate) package: &'a [u8],
    /// A right server may leave it out.
    pub(crate) optional: bool,
}

/// How what was expected and what arrived belong together.
#[derive(Debug)]
pub(crate) struct Assignment {
    /// For each expected package the position of the one that is it.
    same: Vec<Option<usize>>,
    /// For each that did not come, the position of another one about the same.
    instead: Vec<Option<usize>>,
    /// For each whether it is missed if it does not come.
    required: Vec<bool>,
}

impl Assignment {
    /// Assigns each arrived package to at most one expected one, equal ones first.
    pub(crate) fn new(expected: &[Expected<'_>], arrived: &[Vec<u8>]) -> Self {
        let mut taken = vec![false; arrived.len()];
        let mut assign = |matches: &dyn Fn(&[u8], &[u8]) -> bool, wanted: &Expected<'_>| {
            let (index, used) = taken
                .iter_mut()
                .enumerate()
                .zip(arrived)
                .find(|((_, used), found)| !**used && matches(wanted.package, found))
                .map(|(slot, _)| slot)?;
            *used = true;
            Some(index)
        };
        let same: Vec<_> = expected.iter().map(|wanted| assign(&rules::same, wanted)).collect();
        let about_it = |wanted: &[u8], found: &[u8]| subject(wanted) == subject(found);
        let instead = expected
            .iter()
            .zip(&same)
            .map(
                |(wanted, same)| {
                    if same.is_some() || wanted.optional { None } else { assign(&about_it, wanted) }
                },
            )
            .collect();
        Self { same, instead, required: expected.iter().map(|wanted| !wanted.optional).collect() }
    }

    /// Whether everything has come that has to.
    pub(crate) fn is_complete(&self) -> bool {
        self.same.iter().zip(&self.required).all(|(same, required)| same.is_some() || !required)
    }

    /// Whether for everything that has to come something has, if not the right thing.
    pub(crate) fn is_answered(&self) -> bool {
        let mut all = self.same.iter().zip(&self.instead).zip(&self.required);
        all.all(|((same, instead), required)| same.is_some() || instead.is_some() || !required)
    }

    /// The differences, each with its step, and the positions of the packages that are dealt with.
    pub(crate) fn judge(
        &self,
        expected: &[Expected<'_>],
        arrived: &[Vec<u8>],
        order: Order,
    ) -> (Vec<(usize, What)>, Vec<usize>) {
        let mut differences = Vec::new();
        for ((wanted, same), instead) in expected.iter().zip(&self.same).zip(&self.instead) {
            let recorded = || wanted.package.to_vec();
            match (same, instead.and_then(|index| arrived.get(index))) {
                (Some(_), _) => {}
                (None, Some(found)) => {
                    differences
                        .push((wanted.step, What::Changed { expected: recorded(), found: found.clone() }));
                }
                (None, None) if wanted.optional => {}
                (None, None) => differences.push((wanted.step, What::Missing { expected: recorded() })),
            }
        }
        differences.extend(self.out_of_order(expected));
        if order == Order::PushesBeforeAnswer {
            differences.extend(self.behind_answer(expected));
        }
        differences.sort_by_key(|(step, _)| *step);
        let dealt_with = self.same.iter().chain(&self.instead).flatten().copied().collect();
        (differences, dealt_with)
    }

    /// Pushes keep their order, and everything else keeps its; heartbeats come when they come.
    fn out_of_order<'a>(&'a self, expected: &'a [Expected<'a>]) -> impl Iterator<Item = (usize, What)> + 'a {
        [true, false].into_iter().flat_map(move |pushes| {
            let lane = expected.iter().zip(&self.same).filter(move |(wanted, _)| {
                is_push(wanted.package) == pushes && kind(wanted.package) != Some(HEARTBEAT)
            });
            let mut furthest: Option<(usize, Expected<'_>)> = None;
            lane.filter_map(|(wanted, same)| Some((wanted, (*same)?))).filter_map(
                move |(wanted, position)| match furthest {
                    Some((before, late)) if position < before => {
                        Some((late.step, What::Late { package: late.package.to_vec() }))
                    }
                    _ => {
                        furthest = Some((position, *wanted));
                        None
                    }
                },
            )
        })
    }

    fn behind_answer(&self, expected: &[Expected<'_>]) -> Vec<(usize, What)> {
        let placed = || expected.iter().zip(&self.same).filter_map(|(wanted, same)| Some((wanted, (*same)?)));
        let is_answer = |package: &[u8]| matches!(subject(package), package::Subject::Response(_));
        let mut answers = placed().filter(|(wanted, _)| is_answer(wanted.package));
        // With several answers it cannot be told which request caused the push.
        let (Some((_, answer)), None) = (answers.next(), answers.next()) else { return Vec::new() };
        placed()
            .filter(|(wanted, position)| is_push(wanted.package) && *position > answer)
            .map(|(wanted, _)| (wanted.step, What::BehindAnswer { push: wanted.package.to_vec() }))
            .collect()
    }
}

/// What is compared of the order of pushes and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Nothing.
    Free,
    /// What a request pushes to its own sender comes before its answer.
    PushesBeforeAnswer,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(id: u8, body: &str) -> Vec<u8> {
        [&[4, 0, 0, body.len() as u8 + 2, 4, id][..], body.as_bytes()].concat()
    }

    fn push(route: char, body: &str) -> Vec<u8> {
        [&[4, 0, 0, body.len() as u8 + 3, 6, 1, route as u8][..], body.as_bytes()].concat()
    }

    /// The differences in words, and how many packages were dealt with.
    fn check(expected: &[Vec<u8>], arrived: &[Vec<u8>], order: Order) -> (String, usize) {
        let expected: Vec<_> = (1..)
            .zip(expected)
            .map(|(step, package)| Expected { step, package, optional: package.ends_with(b"?") })
            .collect();
        let assignment = Assignment::new(&expected, arrived);
        let (differences, dealt_with) = assignment.judge(&expected, arrived, order);
        assert_eq!(assignment.is_complete(), !differences.iter().any(|(_, what)| is_absence(what)));
        let word = |(step, what): &(usize, What)| match what {
            What::Changed { .. } => format!("{step} changed"),
            What::Missing { .. } => format!("{step} missing"),
            What::Late { .. } => format!("{step} late"),
            What::BehindAnswer { .. } => format!("{step} behind"),
            other => panic!("{other:?}"),
        };
        (differences.iter().map(word).collect::<Vec<_>>().join(", "), dealt_with.len())
    }

    fn is_absence(what: &What) -> bool {
        matches!(what, What::Changed { .. } | What::Missing { .. })
    }

    #[test]
    fn a_push_and_a_response_may_change_places_but_two_pushes_may_not() {
        let (answer, one, two) = (response(1, "{}"), push('a', "1"), push('a', "2"));
        let expected = [answer.clone(), one.clone(), two.clone()];
        for (arrived, differences) in [
            ([&answer, &one, &two], ""),
            ([&one, &answer, &two], ""),
            ([&one, &two, &answer], ""),
            ([&two, &answer, &one], "2 late"),
        ] {
            let arrived = arrived.map(Clone::clone);
            assert_eq!(check(&expected, &arrived, Order::Free), (differences.to_owned(), 3));
        }
    }

    #[test]
    fn server_order_wants_pushes_before_the_answer() {
        let (answer, one) = (response(1, "{}"), push('a', "1"));
        let expected = [answer.clone(), one.clone()];
        let strict = Order::PushesBeforeAnswer;
        assert_eq!(check(&expected, &[one.clone(), answer.clone()], strict).0, "");
        assert_eq!(check(&expected, &[answer, one], strict).0, "2 behind");
    }

    #[test]
    fn another_answer_to_the_same_request_is_a_change_and_to_another_one_is_missing() {
        let expected = [response(1, "{}"), response(2, "{}")];
        let (one, failed) = (response(1, "{}"), response(2, "500"));
        assert_eq!(check(&expected, &[failed, one.clone()], Order::Free), ("2 changed".to_owned(), 2));
        assert_eq!(
            check(&expected, &[one.clone(), response(3, "{}")], Order::Free),
            ("2 missing".to_owned(), 1)
        );
        assert_eq!(check(&expected, &[response(2, "{}"), one], Order::Free).0, "1 late");
    }

    #[test]
    fn equal_packages_are_counted_not_just_found() {
        let twice = [push('a', "1"), push('a', "1")];
        assert_eq!(check(&twice, &twice, Order::Free), (String::new(), 2));
        assert_eq!(check(&twice, &twice[..1], Order::Free), ("2 missing".to_owned(), 1));
        assert_eq!(check(&twice[..1], &twice, Order::Free), (String::new(), 1));
    }

    #[test]
    fn what_is_optional_is_taken_if_it_comes_and_not_missed() {
        let expected = [push('a', "1"), push('a', "?")];
        assert_eq!(check(&expected, &expected, Order::Free), (String::new(), 2));
        assert_eq!(check(&expected, &expected[..1], Order::Free), (String::new(), 1));
    }
}
