//! Tests of what is renewed when, and that no caller gets a certificate it does not trust yet.

use super::*;
use proptest::prelude::*;

const HOST: &str = "migration-warden.mw.svc";

fn names() -> Vec<String> {
    vec![HOST.to_owned()]
}

fn start() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn first() -> Material {
    due(&Material::default(), start()).unwrap()
}

fn after(days: i32) -> Timestamp {
    start() + DAY * days
}

/// What is stored instead; `None` if nothing is due.
fn due(material: &Material, now: Timestamp) -> Option<Material> {
    material.renewed(&names(), now).unwrap()
}

fn cas(material: &Material, now: Timestamp) -> usize {
    unexpired(&material.ca_certs, now).len()
}

/// Whether a caller that trusts these CAs trusts the served certificate.
fn trusts(ca_certs: &str, material: &Material, now: Timestamp) -> bool {
    let trusted = unexpired(ca_certs, now);
    let expires = shown_until(&material.cert, &material.key, &names(), &trusted, now);
    expires.is_some_and(|expires| expires > now)
}

#[test]
fn the_first_is_shown_at_once_and_kept() {
    let made = first();
    assert!(trusts(&made.ca_certs, &made, start()));
    assert_eq!(cas(&made, start()), 1);
    assert_eq!(made.next_ca_key, "");
    assert_eq!(due(&made, start()), None);
    assert_eq!(due(&made, after(59)), None);
    assert_eq!(Material::from_data(Some(&made.to_data())), made);
}

#[test]
fn a_certificate_is_renewed_by_the_same_ca_with_a_third_of_its_life_left() {
    let made = first();
    let renewed = due(&made, after(60)).unwrap();
    assert_ne!(renewed.cert, made.cert);
    assert_eq!(
        (&renewed.ca_certs, &renewed.ca_key),
        (&made.ca_certs, &made.ca_key)
    );
    assert!(trusts(&made.ca_certs, &renewed, after(60)));
}

#[test]
fn a_ca_is_trusted_for_a_day_before_it_signs_and_until_it_expires_afterwards() {
    let mut kept = first();
    for day in [60, 120, 180, 240] {
        kept = due(&kept, after(day)).unwrap();
    }
    assert_eq!(cas(&kept, after(240)), 1);
    let published = due(&kept, after(246)).unwrap();
    assert_eq!(cas(&published, after(246)), 2);
    assert_eq!(
        (&published.cert, &published.ca_key),
        (&kept.cert, &kept.ca_key)
    );
    let almost = after(247) - SignedDuration::from_secs(1);
    assert_eq!(due(&published, almost), None);
    let signing = due(&published, after(247)).unwrap();
    assert_eq!(signing.ca_key, published.next_ca_key);
    assert_eq!(signing.next_ca_key, "");
    assert_eq!(cas(&signing, after(247)), 2);
    assert!(trusts(&published.ca_certs, &signing, after(247)));
    assert!(!trusts(&kept.ca_certs, &signing, after(247)));
    // Replicas that still serve the former certificate are trusted, too.
    assert!(trusts(&signing.ca_certs, &published, after(247)));
    let later = due(&signing, after(366)).unwrap();
    assert_eq!(cas(&later, after(366)), 1);
}

#[test]
fn what_is_lost_or_damaged_is_made_anew() {
    let made = first();
    let lost: [fn(&mut Material); 4] = [
        |m| m.cert.clear(),
        |m| m.key.truncate(40),
        |m| m.ca_certs = "garbage".to_owned(),
        |m| *m = Material::default(),
    ];
    for lose in lost {
        let mut kept = made.clone();
        lose(&mut kept);
        let renewed = due(&kept, start()).unwrap();
        assert!(trusts(&renewed.ca_certs, &renewed, start()));
        assert_eq!(due(&renewed, start()), None);
    }
}

#[test]
fn a_lost_key_of_the_ca_makes_nobody_distrust_what_is_shown() {
    let mut kept = first();
    kept.ca_key.clear();
    let published = due(&kept, start()).unwrap();
    assert_eq!((&published.cert, cas(&published, start())), (&kept.cert, 2));
    assert_eq!(due(&published, start()), None);
    let signing = due(&published, after(1)).unwrap();
    assert!(trusts(&published.ca_certs, &signing, after(1)));
}

#[test]
fn what_a_clock_that_runs_ahead_has_made_is_made_anew() {
    let made = due(&Material::default(), after(70)).unwrap();
    assert!(!made.is_usable(&names(), start()));
    let renewed = due(&made, start()).unwrap();
    assert!(renewed.is_usable(&names(), start()));
    assert_eq!(due(&renewed, start()), None);
}

#[test]
fn replicas_that_know_different_bundles_come_to_rest() {
    let made = |name| Ca::make(name, start(), DAY).unwrap().cert_pem().to_owned();
    let (one, other) = (made("one"), made("other"));
    let by_one = trusting(&one, other.as_bytes(), start()).unwrap();
    assert_eq!(by_one, format!("{one}{other}"));
    for bundle in [&one, &other] {
        assert_eq!(trusting(bundle, by_one.as_bytes(), start()), None);
    }
    assert_eq!(trusting(&one, by_one.as_bytes(), after(2)), None);
    assert!(usable(&one, start()) && !usable(&one, after(2)) && !usable("", start()));
}

#[test]
fn only_the_newest_few_stay_trusted() {
    let mut found = String::new();
    for day in 0..20 {
        let ca = Ca::make("a CA", after(day), DAY * 365).unwrap();
        found = trusting(ca.cert_pem(), found.as_bytes(), after(day)).unwrap();
        assert!(found.starts_with(ca.cert_pem()));
    }
    assert_eq!(unexpired(&found, after(20)).len(), 1 + FORMER);
}

#[test]
fn another_name_of_the_service_needs_another_certificate() {
    let other = ["other.mw.svc".to_owned()];
    let renewed = first().renewed(&other, start()).unwrap().unwrap();
    assert_eq!(renewed.ca_certs, first_of(&renewed));
    assert_eq!(renewed.renewed(&other, start()).unwrap(), None);
}

fn first_of(material: &Material) -> String {
    to_pem(&unexpired(&material.ca_certs, start())[0].der)
}

#[test]
fn no_key_is_ever_printed() {
    let made = first();
    assert_eq!(format!("{made:?}"), "Material { .. }");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// It works if a replica reads the Secret at least once in three weeks.
    #[test]
    fn nobody_is_ever_shown_what_he_could_not_trust(hours in prop::collection::vec(1..500_i32, 60)) {
        let mut now = start();
        let mut kept = first();
        // The CAs that a caller knows since the last change, and when that was.
        let (mut known, mut since) = (kept.ca_certs.clone(), now);
        for hours in hours {
            now += SignedDuration::from_hours(hours.into());
            if let Some(renewed) = due(&kept, now) {
                prop_assert!(
                    trusts(&known, &renewed, now),
                    "known since {since}, shown at {now}"
                );
                prop_assert_eq!(due(&renewed, now), None);
                if renewed.ca_certs != kept.ca_certs {
                    (known, since) = (renewed.ca_certs.clone(), now);
                }
                kept = renewed;
            }
            prop_assert!(trusts(&known, &kept, now));
            prop_assert!(cas(&kept, now) <= 3);
        }
    }
}
