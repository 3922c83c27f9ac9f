//! Under which names credential files know a registry: as docker, podman and their forerunners wrote them.

/// Docker Hub, as references name it.
const HUB: &str = "docker.io";
/// Docker Hub, as docker has written it since its first version.
const HUB_KEY: &str = "https://index.docker.io/v1/";
/// The other names of Docker Hub.
const HUB_HOSTS: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];

/// Returns a key in its one form: `docker.io`, `ghcr.io`, `ghcr.io/owner`.
///
/// A scheme, a final `/`, and `/v1` or `/v2` right after the host are left out, for they are no part of a name.
pub(super) fn normalise(key: &str) -> String {
    let key = ["https://", "http://"]
        .iter()
        .find_map(|scheme| key.strip_prefix(scheme))
        .unwrap_or(key)
        .trim_end_matches('/');
    let (host, path) = match key.split_once('/') {
        Some((host, "v1" | "v2")) => (host, None),
        Some((host, path)) => (host, Some(path)),
        None => (key, None),
    };
    let mut host = host.to_ascii_lowercase();
    if HUB_HOSTS.contains(&host.as_str()) {
        HUB.clone_into(&mut host);
    }
    match path {
        Some(path) => format!("{host}/{path}"),
        None => host,
    }
}

/// Returns the keys of a repository and of the namespaces around it, the most specific first; the registry is not one
/// of them.
///
/// spec: containers-auth.json(5)
pub(super) fn namespaces(registry: &str, repository: &str) -> Vec<String> {
    let ends = repository.match_indices('/').map(|(end, _)| end);
    let mut ends: Vec<usize> = ends.chain([repository.len()]).collect();
    ends.reverse();
    ends.into_iter()
        .filter(|end| *end > 0)
        .map(|end| format!("{registry}/{}", &repository[..end]))
        .collect()
}

/// Returns the key that every program finds: what is written into files, and told to credential helpers.
pub(super) fn written(registry: &str) -> &str {
    if registry == HUB { HUB_KEY } else { registry }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_many_spellings_of_a_registry_are_one() {
        for (key, expected) in [
            ("ghcr.io", "ghcr.io"),
            ("GHCR.io", "ghcr.io"),
            ("https://ghcr.io", "ghcr.io"),
            ("http://localhost:5000/", "localhost:5000"),
            ("https://quay.example/v2/", "quay.example"),
            ("quay.example/v1", "quay.example"),
            ("quay.example/v1/Team", "quay.example/v1/Team"),
            ("https://ghcr.io/owner/", "ghcr.io/owner"),
            (HUB_KEY, HUB),
            ("registry-1.docker.io", HUB),
            ("index.docker.io/library", "docker.io/library"),
        ] {
            assert_eq!(normalise(key), expected, "{key}");
        }
        assert_eq!(normalise(written(HUB)), HUB);
        assert_eq!(written("ghcr.io"), "ghcr.io");
    }

    #[test]
    fn namespaces_go_from_the_repository_outwards() {
        assert_eq!(
            namespaces("r.io", "a/b/c"),
            ["r.io/a/b/c", "r.io/a/b", "r.io/a"]
        );
        assert_eq!(namespaces("r.io", "a"), ["r.io/a"]);
        assert!(namespaces("r.io", "").is_empty());
    }
}
