//! `tandem documents`: manual pages and shell completion, from the same definitions the commands run by.
//!
//! Hidden: the packages are its reader.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result};
use clap::Command;
use clap_complete::Shell;

/// Every key is explained in what `tandem init` writes, so that is the page.
const CLUSTER_YAML: &str = "cluster.yaml";

/// Writes a page a command below `man`, completion for three shells below `completion`.
pub fn run(mut command: Command, man: &Path, completion: &Path) -> Result<()> {
    for folder in [man, completion] {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    // First: completion adds the `help` commands for good.
    clap_mangen::generate_to(without_help(command.clone()), man).context("writing manual pages")?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, "tandem", completion)
            .with_context(|| format!("writing completion for {shell}"))?;
    }
    // Debian's bash loads a completion by the command's plain name.
    fs::rename(completion.join("tandem.bash"), completion.join("tandem"))
        .context("naming bash's completion")?;

    let page = man.join(format!("tandem-{CLUSTER_YAML}.5"));
    fs::write(&page, cluster_page(&example())).with_context(|| format!("writing {}", page.display()))
}

/// `help` is a command of every command; a page for each would say nothing.
fn without_help(command: Command) -> Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

/// A pair, on addresses that are nobody's (RFC 5737).
fn example() -> String {
    let node = |name: &str, host, peer| spec::Node {
        name: name.into(),
        address: Ipv4Addr::new(192, 0, 2, host).into(),
        peer_address: Some(Ipv4Addr::new(198, 51, 100, peer).into()),
        interface: None,
        peer_interface: None,
    };
    spec::node_cluster_yaml(&spec::NewCluster {
        id: uuid::Uuid::nil(),
        name: "example".into(),
        shape: spec::Shape::Node,
        nodes: vec![node("n1", 11, 1), node("n2", 12, 2)],
        vip: Some(spec::Vip {
            address: Ipv4Addr::new(192, 0, 2, 100).into(),
            prefix: 24,
            router_id: spec::Limited::new(100),
            gateway: Some(Ipv4Addr::new(192, 0, 2, 1).into()),
        }),
        failover: spec::Failover::default(),
        domain: "example.org".into(),
        trusted_sources: Vec::new(),
        fs_allow: Vec::new(),
        metrics_allow: Vec::new(),
    })
}

/// The example as a manual page: roff's own characters are escaped, nothing else is changed.
fn cluster_page(example: &str) -> String {
    let mut page = String::from(concat!(
        ".TH TANDEM-CLUSTER.YAML 5 \"\" \"Tandem\" \"File formats\"\n",
        ".SH NAME\ntandem-cluster.yaml \\- the one file a Tandem platform is configured by\n",
        ".SH DESCRIPTION\n.I /etc/tandem/cluster.yaml\n",
        "is the same on both nodes; secrets are apart from it, in\n.IR /etc/tandem/secrets.yaml .\n",
        "Every key, with what it is for, as\n.BR tandem\\-init (1)\nwrites it. A key that is not listed here is refused, \n",
        "and so is a value that cannot be right, with file, line and cure, before anything is changed.\n",
        ".SH KEYS\n.nf\n",
    ));
    for line in example.lines() {
        page.push_str(&roff(line));
        page.push('\n');
    }
    page.push_str(concat!(
        ".fi\n.SH FILES\n.TP\n.I /etc/tandem/node\nthis node's name, one line\n",
        ".TP\n.I /var/lib/tandem/applied.json\nwhat\n.B tandem apply\nwrote\n",
        ".TP\n.I /var/lib/tandem/replaced\nwhat it replaced, a folder a run\n",
        ".SH SEE ALSO\n.BR tandem (1),\n.BR tandem\\-apply (1),\n.BR voipadmind (8)\n",
    ));
    page
}

fn roff(line: &str) -> String {
    let escaped = line.replace('\\', "\\e").replace('-', "\\-");
    // A dot or an apostrophe at the start would be a request.
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_visible_command_has_a_page() {
        let (man, completion) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        run(crate::cli::Cli::command(), man.path(), completion.path()).unwrap();
        for page in ["tandem.1", "tandem-render.1", "tandem-init.1", "tandem-cluster.yaml.5"] {
            assert!(man.path().join(page).is_file(), "{page} was not written");
        }
        for file in ["tandem", "_tandem", "tandem.fish"] {
            assert!(completion.path().join(file).is_file(), "{file} was not written");
        }
        for page in ["tandem-documents.1", "tandem-help.1", "tandem-dev-help.1"] {
            assert!(!man.path().join(page).exists(), "{page} was written");
        }
    }

    #[test]
    fn the_example_is_right() {
        spec::Cluster::parse("example", &example()).unwrap();
    }

    #[test]
    fn roff_is_never_obeyed_in_the_example() {
        assert_eq!(roff(".so /etc/passwd"), "\\&.so /etc/passwd");
        assert_eq!(roff("a-b \\n"), "a\\-b \\en");
    }
}
