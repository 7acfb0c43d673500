use std::collections::BTreeSet;

use super::*;

/// Random sets of up to 60 samples, with labels of very different sizes and, every other time, groups of one label.
fn random_sets() -> impl Iterator<Item = (u64, Vec<usize>, Vec<Option<u32>>)> {
    (0..200).map(|seed| {
        let mut rng = Rng::new(seed, Stream::Verify);
        let labels: Vec<usize> = (0..rng.below(60) + 2).map(|_| rng.below(6).min(rng.below(6)) * 3).collect();
        let group = |label: usize, rng: &mut Rng| (rng.below(3) > 0).then(|| (label * 10 + rng.below(4)) as u32);
        let groups = if seed % 2 == 0 { Vec::new() } else { labels.iter().map(|&l| group(l, &mut rng)).collect() };
        (seed, labels, groups)
    })
}

/// Distinct groups of the samples with the label; a sample without a group counts as one.
fn holders(labels: &[usize], groups: &[Option<u32>], label: usize) -> usize {
    let members = (0..labels.len()).filter(|&i| labels[i] == label);
    let ids = members.map(|i| groups.get(i).copied().flatten().map_or((1, i), |g| (0, g as usize)));
    ids.collect::<BTreeSet<_>>().len()
}

fn count(samples: &[usize], labels: &[usize], label: usize) -> usize {
    samples.iter().filter(|&&i| labels[i] == label).count()
}

fn assert_partition(sides: &[&[usize]], groups: &[Option<u32>], samples: usize, what: &str) {
    let mut all: Vec<usize> = sides.concat();
    all.sort_unstable();
    assert_eq!(all, (0..samples).collect::<Vec<_>>(), "{what}");
    for (i, side) in sides.iter().enumerate() {
        assert!(side.is_sorted(), "{what}");
        let ids: BTreeSet<u32> = side.iter().filter_map(|&s| groups.get(s).copied().flatten()).collect();
        for other in &sides[i + 1..] {
            let torn = other.iter().any(|&s| groups.get(s).copied().flatten().is_some_and(|g| ids.contains(&g)));
            assert!(!torn, "{what}: a group is on two sides");
        }
    }
}

#[test]
fn labels_are_sorted_whatever_the_order_of_files() {
    let (names, positions) = sorted_labels(&["tulip", "Daisy", "rose", "tulip", "äster"]);
    assert_eq!(names, ["Daisy", "rose", "tulip", "äster"]);
    assert_eq!(positions, [2, 0, 1, 2, 3]);
}

#[test]
fn splits_are_partitions_with_every_label_on_both_sides() {
    for (seed, labels, groups) in random_sets() {
        for fraction in [0.1, 0.5, 0.85, 0.99] {
            let what = format!("seed {seed} fraction {fraction}");
            let found = split(&labels, &groups, fraction, true, seed).expect("splits");
            assert_partition(&[&found.train, &found.test], &groups, labels.len(), &what);
            for label in labels.iter().copied().collect::<BTreeSet<_>>() {
                let (train, test) = (count(&found.train, &labels, label), count(&found.test, &labels, label));
                assert!(train > 0, "{what}: nothing of {label} to train on");
                let expected = holders(&labels, &groups, label) > 1;
                assert_eq!(test > 0, expected, "{what}: {test} of {label} held out");
            }
            assert_eq!(split(&labels, &groups, fraction, true, seed), Ok(found), "{what}");
        }
    }
}

#[test]
fn without_groups_the_numbers_are_the_rounded_shares() {
    let labels: Vec<usize> = (0..5).flat_map(|label| vec![label; 15]).collect();
    for seed in 0..20 {
        let found = split(&labels, &[], 0.9, true, seed).expect("splits");
        // 67.5 of 75 rounds up; 13.5, 27, 40.5, 54, 67.5 are the shares so far.
        assert_eq!(found.train.len(), 68);
        let counts: Vec<usize> = (0..5).map(|label| count(&found.train, &labels, label)).collect();
        assert_eq!(counts, [14, 13, 14, 13, 14]);
        let plain = split(&labels, &[], 0.9, false, seed).expect("splits");
        assert_eq!(plain.train.len(), 68);
    }
}

#[test]
fn each_sample_is_held_out_equally_often() {
    let labels = [0, 0, 0, 0, 0, 1, 1, 1, 1, 1];
    let mut times = [0u32; 10];
    let runs = 5000;
    for seed in 0..runs {
        let found = split(&labels, &[], 0.6, true, seed).expect("splits");
        found.test.iter().for_each(|&i| times[i] += 1);
    }
    // Binomial with p = 0.4: standard deviation 34.6; five of them.
    for (i, &n) in times.iter().enumerate() {
        assert!(n.abs_diff(2000) < 173, "sample {i} held out {n} times of {runs}");
    }
}

#[test]
fn large_groups_do_not_overfill_a_side() {
    // One group of 30, ten of 3, and 40 loose ones, all of one label: 50 of 100 can be met exactly.
    let groups: Vec<Option<u32>> = (0..100u32)
        .map(|i| match i {
            0..30 => Some(99),
            30..60 => Some(i / 3),
            _ => None,
        })
        .collect();
    for seed in 0..20 {
        let found = split(&[0; 100], &groups, 0.5, true, seed).expect("splits");
        assert_partition(&[&found.train, &found.test], &groups, 100, "groups");
        assert_eq!(found.train.len(), 50, "seed {seed}");
    }
}

#[test]
fn groups_of_several_labels_stay_together() {
    let labels: Vec<usize> = (0..60).map(|i| i % 3).collect();
    let groups: Vec<Option<u32>> = (0..60).map(|i| Some(i / 6)).collect();
    let found = split(&labels, &groups, 0.7, true, 4).expect("splits");
    assert_partition(&[&found.train, &found.test], &groups, 60, "mixed groups");
    assert_eq!(found.train.len(), 42);
    let all = folds(&labels, &groups, 5, 4).expect("folds");
    let sides: Vec<&[usize]> = all.iter().map(|fold| fold.test.as_slice()).collect();
    assert_partition(&sides, &groups, 60, "mixed groups");
    assert!(sides.iter().all(|side| side.len() == 12), "{sides:?}");
}

#[test]
fn folds_hold_out_each_sample_once_and_are_even() {
    for (seed, labels, groups) in random_sets() {
        let what = format!("seed {seed}");
        let all = match folds(&labels, &groups, 3, seed) {
            Ok(all) => all,
            Err(error) => {
                assert_eq!(error.code(), "bad-option", "{what}");
                continue;
            }
        };
        let sides: Vec<&[usize]> = all.iter().map(|fold| fold.test.as_slice()).collect();
        assert_partition(&sides, &groups, labels.len(), &what);
        for fold in &all {
            assert_partition(&[&fold.train, &fold.test], &groups, labels.len(), &what);
        }
        if groups.is_empty() {
            let spread = |counts: Vec<usize>| counts.iter().max().zip(counts.iter().min()).map(|(a, b)| a - b);
            assert!(spread(sides.iter().map(|s| s.len()).collect()) <= Some(1), "{what}: {sides:?}");
            for label in labels.iter().copied().collect::<BTreeSet<_>>() {
                let counts = sides.iter().map(|side| count(side, &labels, label)).collect();
                assert!(spread(counts) <= Some(1), "{what}: label {label} in {sides:?}");
            }
        }
    }
}

#[test]
fn balanced_sets_have_equally_many_of_each_label() {
    let labels = [7, 7, 7, 7, 2, 2, 2, 9, 9, 9, 9, 9];
    for (cap, expected) in [(None, 3), (Some(2), 2), (Some(100), 3)] {
        let kept = balanced(&labels, cap, 1).expect("balances");
        assert!(kept.is_sorted());
        for label in [2, 7, 9] {
            assert_eq!(count(&kept, &labels, label), expected, "cap {cap:?}");
        }
        assert_eq!(kept.len(), expected * 3);
    }
    assert_ne!(balanced(&labels, None, 1), balanced(&labels, None, 2));
    assert_eq!(balanced(&[], None, 1), Ok(Vec::new()));
    assert!(balanced(&labels, Some(0), 1).is_err());
}

#[test]
fn bad_options_and_tiny_sets_do_not_panic() {
    for fraction in [0.0, 1.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(split(&[0, 1], &[], fraction, true, 1).map_err(|e| e.code()), Err("bad-option"));
    }
    for k in [0, 1, 3] {
        assert_eq!(folds(&[0, 1], &[], k, 1).map_err(|e| e.code()), Err("bad-option"));
    }
    assert!(split(&[0, 1], &[None], 0.5, true, 1).is_err());
    let empty = Split { train: vec![], test: vec![] };
    assert_eq!(split(&[], &[], 0.5, true, 1), Ok(empty));
    let one = Split { train: vec![0], test: vec![] };
    assert_eq!(split(&[usize::MAX], &[], 0.5, false, 1), Ok(one));
}
