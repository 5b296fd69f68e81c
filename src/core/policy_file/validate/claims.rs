//! Validates the policy file's section `claims`.

use crate::core::job::dns;
use crate::core::policy::claims::Claims;

/// The faults, each with the JSON Pointer of its value.
pub(super) fn faults(claims: &Claims) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    for (index, database) in claims.databases.iter().enumerate() {
        let pointer = format!("/claims/databases/{index}");
        let name = &database.name;
        if name.is_empty() {
            let message = "name is empty: no annotation has that value".to_owned();
            faults.push((format!("{pointer}/name"), message));
        } else if claims.databases[..index]
            .iter()
            .any(|other| other.name == *name)
        {
            let message =
                format!("database {name} is listed twice; write all its namespaces in one entry");
            faults.push((format!("{pointer}/name"), message));
        }
        if database.namespaces.is_empty() {
            let message = "namespaces is empty: no namespace would share the database".to_owned();
            faults.push((format!("{pointer}/namespaces"), message));
        }
        for (at, namespace) in database.namespaces.iter().enumerate() {
            if !dns::is_label(namespace) {
                let message = format!(
                    "{namespace:?} is not the name of a namespace; write each name in full, without *"
                );
                faults.push((format!("{pointer}/namespaces/{at}"), message));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use crate::core::policy::claims::{Claims, Database, OnFailure, Scope};
    use crate::core::policy_file::validate::{InvalidPolicy, read};

    fn claims(rest: &str) -> Result<Claims, Vec<String>> {
        let head = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n";
        match read("policy.yaml", &format!("{head}{rest}")) {
            Ok(policy) => Ok(policy.claims),
            Err(InvalidPolicy(faults)) => Err(faults.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn without_a_section_the_name_counts_and_failures_deny() {
        let none = claims("").unwrap();
        assert_eq!(none, Claims::default());
        assert_eq!((none.key, none.on_failure), (Scope::Name, OnFailure::Deny));
    }

    #[test]
    fn a_section_is_read() {
        let text = "claims:\n  key: release\n  databases:\n    - {name: orders, namespaces: [shop, billing]}\n  onFailure: allow\n";
        let expected = Claims {
            key: Scope::Release,
            databases: vec![Database {
                name: "orders".to_owned(),
                namespaces: vec!["shop".to_owned(), "billing".to_owned()],
            }],
            on_failure: OnFailure::Allow,
        };
        assert_eq!(claims(text), Ok(expected));
    }

    #[test]
    fn faults_say_where_and_what() {
        let text = "claims:
  databases:
    - {name: orders, namespaces: [shop]}
    - {name: orders, namespaces: [billing]}
    - {name: '', namespaces: [shop]}
    - {name: stock, namespaces: []}
    - {name: users, namespaces: [shop, team-*, -x]}
";
        let expected = [
            "policy.yaml:6:14: database orders is listed twice; write all its namespaces in one entry",
            "policy.yaml:7:14: name is empty: no annotation has that value",
            "policy.yaml:8:33: namespaces is empty: no namespace would share the database",
            "policy.yaml:9:40: \"team-*\" is not the name of a namespace; write each name in full, without *",
            "policy.yaml:9:48: \"-x\" is not the name of a namespace; write each name in full, without *",
        ];
        assert_eq!(claims(text), Err(expected.map(str::to_owned).to_vec()));
    }

    #[test]
    fn unknown_keys_and_values_are_faults() {
        let fault = |text: &str| claims(text).unwrap_err()[0].clone();
        assert!(
            fault("claims: {scope: name}\n")
                .ends_with("there is no key scope; the keys here are key, databases, onFailure")
        );
        assert!(
            fault("claims: {key: namespace}\n")
                .ends_with("\"namespace\" is not one of name, release; did you mean name?")
        );
    }
}
