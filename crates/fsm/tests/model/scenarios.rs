//! The table as it is, within the bounds of `make test`; `TANDEM_MODEL=large` is `make model`.

use fsm::Arbiter;

use crate::holds;
use crate::start::NO_FAULTS;
use crate::world::{Budget, Person, Scenario};

pub fn large() -> bool {
    std::env::var_os("TANDEM_MODEL").is_some_and(|it| it == "large")
}

pub const PLAIN: Scenario = Scenario {
    name: "",
    arbiter: Arbiter::None,
    mutation: None,
    environment: None,
    person: Person::Absent,
    budget: Budget { crashes: 1, ..NO_FAULTS },
    epoch_max: 2,
    join_max: 1,
    lazy_flush: false,
    one_way: false,
    switchover: false,
    paired: true,
};

#[test]
fn crashes() {
    holds(&Scenario { name: "none: one crash", ..PLAIN });
}
