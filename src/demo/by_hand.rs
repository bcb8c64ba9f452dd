//! What to try by hand while the demo stays up.

use super::table::say;
use crate::demo::step::Addresses;
use crate::ground::terminal::Paint;

/// Prints it, with the addresses as they are.
pub(super) fn print(paint: Paint, addresses: &Addresses) {
    let Addresses { stent, admin, .. } = addresses;
    let ada = "-H 'Authorization: Bearer north.ada'";
    let lines = [
        ("twice: see Cache-Status", format!("curl -i {ada} http://{stent}/api/patients/3")),
        (
            "write, then ask again",
            format!("curl -i -X PUT {ada} -d '{{\"phone\":\"+47 22 85 00 33\"}}' http://{stent}/api/patients/3"),
        ),
        ("purge a tag", format!("stent purge --admin {admin} patient:3")),
        (
            "a slow page, twice",
            format!("curl -o /dev/null -s -w '%{{time_total}} s\\n' http://{stent}/reports/monthly"),
        ),
        ("sign in", format!("curl -i -d user=ada http://{stent}/login")),
        ("what is measured", format!("curl http://{admin}/metrics")),
        ("what is kept", format!("curl http://{admin}/api/v1/status")),
        ("how it is configured", "stent demo --show-config".to_owned()),
    ];
    say(&format!("\n  {}\n", paint.bold("Now you")));
    for (what, command) in lines {
        say(&format!("    {}  {command}", paint.faint(&format!("{what:<24}"))));
    }
    say(&format!("\n  In a browser: http://{stent}/\n\n  It stays up until Ctrl-C."));
}
