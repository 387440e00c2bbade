//! Which pods are to go, said by what deleting them costs. Pure.
//!
//! A ReplicaSet deletes pods that are not ready first, then those that cost least. So before it is
//! made smaller, the least busy pods are marked as cheap, and older marks of ours are taken back.
//! What somebody else has said of a pod stands.

use tidegate_kubernetes::facts::PodPhase;
use tidegate_kubernetes::view::PodView;

/// What deleting a marked pod costs: less than the 0 of all that nobody has said anything of.
pub(super) const MARK: i32 = -1000;

/// Marks to make and to take back, by pod.
pub(super) fn marks(
    pods: &[PodView],
    many: u32,
    busy: impl Fn(&str) -> u32,
) -> Vec<(&str, Option<i32>)> {
    let is_ours = |pod: &&PodView| pod.cost.is_none_or(|cost| cost == MARK);
    let mut live: Vec<&PodView> =
        pods.iter().filter(|pod| pod.phase != PodPhase::Leaving).filter(is_ours).collect();
    live.sort_by_key(|pod| (pod.phase == PodPhase::Ready, busy(&pod.name)));
    let change = |(index, pod): (usize, &&'_ PodView)| {
        let wanted = (index < many as usize).then_some(MARK);
        (pod.cost != wanted).then_some((index, wanted))
    };
    let changes: Vec<_> = live.iter().enumerate().filter_map(change).collect();
    changes.into_iter().map(|(index, wanted)| (live[index].name.as_str(), wanted)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, phase: PodPhase, cost: Option<i32>) -> PodView {
        PodView { name: name.to_owned(), phase, admin: None, traffic: None, limit: None, cost }
    }

    fn busy(name: &str) -> u32 {
        match name {
            "a" => 3,
            "b" => 0,
            _ => 1,
        }
    }

    #[test]
    fn starting_pods_go_first_then_the_least_busy() {
        use PodPhase::{Leaving, Ready, Starting};
        let pods = [
            pod("a", Ready, None),
            pod("b", Ready, None),
            pod("c", Starting, None),
            pod("d", Leaving, None),
        ];
        assert_eq!(marks(&pods, 1, busy), [("c", Some(MARK))]);
        assert_eq!(marks(&pods, 2, busy), [("c", Some(MARK)), ("b", Some(MARK))]);
        assert_eq!(marks(&pods, 9, busy).len(), 3);
    }

    #[test]
    fn an_old_mark_is_taken_back_and_a_strangers_stands() {
        use PodPhase::Ready;
        let pods =
            [pod("a", Ready, Some(MARK)), pod("b", Ready, None), pod("c", Ready, Some(-5000))];
        assert_eq!(marks(&pods, 1, busy), [("b", Some(MARK)), ("a", None)]);
        let again = [pod("a", Ready, None), pod("b", Ready, Some(MARK))];
        assert_eq!(marks(&again, 1, busy), [], "it says so already");
    }
}
