//! Tables of single steps, and whole replacements under chance.

use super::*;
use proptest::prelude::*;

const DEFAULT: Allowance = Allowance { surge: Part::Count(1), unavailable: Part::Count(0) };
const NO_SURGE: Allowance = Allowance { surge: Part::Count(0), unavailable: Part::Count(1) };

/// Wanted, then starting and ready of the outdated and of the others.
fn step(numbers: [u32; 5], allowance: Allowance) -> [u32; 4] {
    let [wanted, starting, ready, new_starting, new_ready] = numbers;
    let outdated = Live { starting, ready };
    let current = Live { starting: new_starting, ready: new_ready };
    let moves = plan(Standing { wanted, outdated, current }, allowance);
    [moves.start, moves.stop_outdated_starting, moves.stop_outdated_ready, moves.stop_current]
}

#[test]
fn each_step_is_as_a_deployment_makes_it() {
    let percent = |surge, unavailable| Allowance {
        surge: Part::Percent(surge),
        unavailable: Part::Percent(unavailable),
    };
    for (what, numbers, allowance, moves) in [
        ("one comes before one goes", [4, 0, 4, 0, 0], DEFAULT, [1, 0, 0, 0]),
        ("and until it is ready nothing happens", [4, 0, 4, 1, 0], DEFAULT, [0, 0, 0, 0]),
        ("then one goes", [4, 0, 4, 0, 1], DEFAULT, [0, 0, 1, 0]),
        ("and the next comes", [4, 0, 3, 0, 1], DEFAULT, [1, 0, 0, 0]),
        ("to the last", [4, 0, 1, 0, 4], DEFAULT, [0, 0, 1, 0]),
        ("then it is done", [4, 0, 0, 0, 4], DEFAULT, [0, 0, 0, 0]),
        ("without surge one goes first", [4, 0, 4, 0, 0], NO_SURGE, [0, 0, 1, 0]),
        ("and then one comes", [4, 0, 3, 0, 0], NO_SURGE, [1, 0, 0, 0]),
        ("one alone", [1, 0, 1, 0, 0], DEFAULT, [1, 0, 0, 0]),
        ("one alone without surge", [1, 0, 1, 0, 0], NO_SURGE, [0, 0, 1, 0]),
        (
            "shares are rounded in favour of what is ready",
            [4, 0, 4, 0, 0],
            percent(10, 10),
            [1, 0, 0, 0],
        ),
        ("shares of many", [10, 0, 10, 0, 0], percent(25, 25), [3, 0, 2, 0]),
        ("shares that leave no room", [4, 0, 4, 0, 0], percent(0, 10), [0, 0, 1, 0]),
        ("who never got ready goes once others are", [4, 1, 3, 0, 1], DEFAULT, [0, 1, 0, 0]),
        ("and stays while it may be needed", [1, 1, 0, 1, 0], DEFAULT, [0, 0, 0, 0]),
        ("more are wanted meanwhile", [8, 0, 4, 0, 1], DEFAULT, [4, 0, 0, 0]),
        ("fewer are wanted meanwhile", [2, 0, 3, 0, 2], DEFAULT, [0, 0, 3, 0]),
        ("fewer, and the new are not ready", [2, 0, 3, 5, 0], DEFAULT, [0, 0, 1, 3]),
        ("at zero nothing is to replace", [0, 0, 0, 0, 0], DEFAULT, [0, 0, 0, 0]),
        ("nobody is wanted any more", [0, 1, 2, 1, 1], DEFAULT, [0, 1, 2, 2]),
        ("nothing is outdated: grow", [3, 0, 0, 1, 1], DEFAULT, [1, 0, 0, 0]),
        ("nothing is outdated: shrink", [1, 0, 0, 1, 2], DEFAULT, [0, 0, 0, 2]),
        ("the largest numbers", [u32::MAX; 5], DEFAULT, [0, 0, 0, 0]),
    ] {
        assert_eq!(step(numbers, allowance), moves, "{what}");
    }
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![(0..4u32).prop_map(Part::Count), (0..=100u32).prop_map(Part::Percent)]
}

/// Plays a whole replacement: at each turn the plan is carried out, then some get ready and, as
/// `wants` says, another number is wanted.
fn play(allowance: Allowance, wants: &[u32], luck: &[bool]) -> Result<(), TestCaseError> {
    let wanted = wants[0];
    let outdated = Live { starting: 0, ready: wanted };
    let mut standing = Standing { wanted, outdated, current: Live::default() };
    let mut lucky = luck.iter().copied().chain(std::iter::repeat(true));
    for turn in 0..400 {
        standing.wanted = *wants.get(turn).unwrap_or(&wants[wants.len() - 1]);
        let before = standing;
        let moves = plan(standing, allowance);
        let (most, least_ready) = allowance.bounds(standing.wanted);
        let from_starting = moves.stop_current.min(standing.current.starting);
        standing.current.starting -= from_starting;
        standing.current.ready -= moves.stop_current - from_starting;
        standing.outdated.starting -= moves.stop_outdated_starting;
        standing.outdated.ready -= moves.stop_outdated_ready;
        standing.current.starting += moves.start;
        let ready = |of: &Standing| of.outdated.ready + of.current.ready;
        let live = |of: &Standing| of.outdated.all() + of.current.all();
        if standing.wanted > 0 {
            prop_assert!(
                ready(&standing) >= ready(&before).min(least_ready),
                "{before:?} {moves:?}"
            );
        }
        prop_assert!(live(&standing) <= live(&before).max(most), "{before:?} {moves:?}");
        if standing.current.starting > 0 && lucky.next() == Some(true) {
            standing.current.starting -= 1;
            standing.current.ready += 1;
        }
        if turn > wants.len()
            && standing.outdated.all() == 0
            && standing.current == (Live { starting: 0, ready: standing.wanted })
        {
            return Ok(());
        }
    }
    Err(TestCaseError::fail(format!("never done: {standing:?}")))
}

proptest! {
    #[test]
    fn a_replacement_keeps_its_bounds_and_ends(
        surge in part(),
        unavailable in part(),
        wants in prop::collection::vec(0..20u32, 1..10),
        luck in prop::collection::vec(any::<bool>(), 0..50),
    ) {
        play(Allowance { surge, unavailable }, &wants, &luck)?;
    }
}
