//! The dashboard is in order as far as that can be told without Grafana.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{families, named, only_what_there_is, read};

const DASHBOARD: &str = "charts/migration-warden/files/dashboard.json";

fn dashboard() -> Value {
    serde_json::from_str(&read(DASHBOARD)).unwrap()
}

fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().unwrap()
}

#[test]
fn every_metric_is_there_and_is_that_of_the_chosen_installation() {
    let dashboard = dashboard();
    let mut queries = 0;
    for panel in panels(&dashboard)
        .iter()
        .filter(|panel| panel["type"] != "row")
    {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap();
            only_what_there_is(title, query);
            assert!(!named(query).is_empty(), "{title}: {query}");
            for part in query.split("migration_warden_").skip(1) {
                let (_, selector) = part.split_once('{').unwrap();
                assert!(
                    selector.starts_with(r#"namespace=~"$namespace",job=~"$job""#),
                    "{title}: {part}"
                );
            }
            queries += 1;
        }
    }
    assert!(queries > 30, "only {queries} queries");
}

/// A metric that nobody looks at need not be there.
#[test]
fn it_shows_every_metric() {
    let shown = named(&read(DASHBOARD));
    let missing: Vec<_> = families()
        .into_iter()
        .filter(|name| !shown.contains(name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn panels_have_their_own_ids_and_places_and_the_chosen_data_source() {
    let dashboard = dashboard();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        assert!(
            ids.insert(panel["id"].as_u64().unwrap()),
            "{title}: its id is another's"
        );
        let [x, y, width, height] =
            ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        assert!(x + width <= 24, "{title} is too far to the right");
        for place in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
            assert!(taken.insert(place), "{title} lies on another at {place:?}");
        }
        if panel["type"] != "row" {
            assert!(
                panel["description"].as_str().unwrap().ends_with('.'),
                "{title}"
            );
            let targets = panel["targets"].as_array().unwrap();
            for source in targets
                .iter()
                .chain([panel])
                .map(|part| &part["datasource"])
            {
                assert_eq!(source["type"], "prometheus", "{title}");
                assert_eq!(source["uid"], "${datasource}", "{title}");
            }
        }
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<_> = variables.iter().map(|variable| &variable["name"]).collect();
    assert_eq!(names, ["datasource", "namespace", "job"]);
}
