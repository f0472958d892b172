//! The program `clado-credits`. All of it is in the library.

fn main() -> std::process::ExitCode {
    clado_credits::run()
}
