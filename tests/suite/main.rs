//! The suite: every test generic in number type and backend, instantiated by the table at the end.
//!
//! Numbers go to the library as `T` and come back to the oracles as complex f64; nothing is shared
//! but the public interface.

mod backward;
mod calculus_oracle;
mod cut;
mod decomposition;
mod differences;
mod errors;
mod exact_ties;
mod extremes;
mod factor;
mod fidelity;
mod fuzz;
mod gauge;
#[cfg(feature = "cuda")]
mod gpu;
mod halves;
mod hvp;
mod input;
mod isolation;
mod layouts;
mod losses;
mod numbers;
mod operations;
mod oracle;
#[cfg(feature = "cuda")]
mod parity;
mod plan;
mod random;
mod reference;
mod run;
mod second;
mod spectra;
mod spectral;
mod tangents;
mod ties;

use half::{bf16, f16};
use num_complex::Complex;

/// What every ratio error / (n·ε·scale) must not exceed, the scale being that of the exact result's
/// own sensitivity.
///
/// A backward stable method has ratios of order 1 that fall with n, since errors add up as √n.
/// LAPACK's own test programs use 20 to 50; the largest that this library reaches is about a third
/// of what is allowed here, and a wrong formula exceeds it by 1/ε.
pub const THRESHOLD: f64 = 10.0;

/// Instantiates tests that are generic in number type and backend.
macro_rules! tests {
    ($backend:expr, $t:ty; $($module:ident: $($name:ident)*;)*) => { $($(
        #[test]
        fn $name() {
            if let Some(backend) = $backend {
                $crate::$module::$name::<$t, _>(&backend);
            }
        }
    )*)* };
}

/// The tests of the types that are computed in.
macro_rules! of_scalars {
    ($backend:expr; $($name:ident = $t:ty),*) => { $(mod $name {
        #[allow(unused_imports)] // the primitive types need none
        use super::*;
        tests! { $backend, $t;
            decomposition: the_catalogue_of_spectra the_catalogue_by_faer large_matrices
                the_spectrum_of_eigvalsh_is_cut_as_that_of_eigh no_matrices_and_matrices_of_no_order matrices_of_order_one;
            cut: every_rank_in_one_batch the_default_relative_cut tolerances_and_strictness at_most_the_largest ties_across_the_cut
                data_computed_in_a_coarser_precision;
            backward: the_formula a_dropped_part_that_is_not_zero dropped_eigenvalues_declared_zero nothing_to_declare_zero
                a_wrong_declaration_is_wrong_as_documented adjoint_to_the_jvp bit_tied_nulls the_form_of_one_triangle homogeneous_in_a
                close_to_the_answer_in_f64;
            ties: groups_are_chains ties_to_round_off the_tie_cutoff_follows_the_precision right_losses_have_no_defect
                exact_ties_show exact_near_ties_are_the_formula tied_matrices_are_refused
                the_identity_and_zero_without_a_cut;
            exact_ties: exact_ties_are_told_and_right directions_that_split_ties_are_told losses_of_values_at_ties;
            extremes: gaps_that_overflow gaps_without_reciprocals gradients_of_tiny_and_huge_matrices functions_at_the_ends_of_the_range
                even_powers_of_opposite_signs steep_and_flat_powers;
            gauge: the_defect_is_relative invariant_losses_and_others the_threshold_of_the_finding
                the_phase_dependent_part_is_ignored;
            isolation: the_same_bits_again_elsewhere_and_alone matrices_that_are_not_finite what_is_not_read_cannot_be_wrong;
            plan: reuse wrong_lengths_for_eigh wrong_lengths_for_backward statuses_are_carried_on;
            tangents: tangents_by_the_formula tangents_beside_what_is_dropped tangents_adjoint_to_the_backward parallel_transport
                one_triangle_of_a_direction tangents_of_tied_pairs;
            second: second_derivatives_by_the_formulas second_derivatives_beside_what_is_dropped
                second_derivatives_adjoint_to_each_other second_derivatives_of_tied_pairs;
            spectral: functions_by_the_formulas functions_beside_what_is_dropped every_divided_difference
                maps_are_their_own_adjoints functions_that_are_given ties_of_functions domains traces_and_failures
                functions_at_every_scale functions_as_in_f64 nothing_to_take_functions_of;
            fidelity: fidelity_of_commuting_states fidelity_of_pure_states fidelity_of_little_overlap fidelity_at_every_scale
                fidelity_of_what_is_no_state entropy_of_states;
            operations: the_same_bits_of_every_operation one_bad_matrix_beside_others operations_reuse_their_memory wrong_lengths_for_jvp wrong_lengths_for_second_derivatives
                wrong_lengths_for_functions scratch_of_another_plan;
            losses: losses_by_the_formulas losses_keep_to_themselves;
            layouts: means_of_both_triangles triangles_are_compared cotangents_by_rows several_losses_at_once
                one_workspace_for_several_threads;
            input: two_and_three_dimensions the_first_entry_that_is_not_hermitian every_entry_and_its_mirror the_ends_of_the_range
                eigenvalues_that_overflow;
        }
    })* };
}

/// The tests that need the precision of f64.
macro_rules! of_f64 {
    ($backend:expr; $($name:ident = $t:ty),*) => { $(mod $name {
        #[allow(unused_imports)] // the primitive types need none
        use super::*;
        tests! { $backend, $t;
            differences: losses_of_kept_eigenpairs the_gradient_by_one_triangle a_tied_group_as_a_subspace;
            hvp: hessians_by_differences hessians_of_fixed_rank hessians_are_symmetric;
            spectral: functions_by_differences;
            fidelity: fidelity_by_differences;
            losses: losses_by_differences;
            factor: differences_by_factors;
        }
    })* };
}

/// The tests of factors of the types that are computed in.
macro_rules! of_factors {
    ($backend:expr; $($name:ident = $t:ty),*) => { $(mod $name {
        #[allow(unused_imports)] // the primitive types need none
        use super::*;
        tests! { $backend, $t;
            factor: pairs_of_the_product as_eigh_of_the_product the_gradient_by_factors adjoint_to_the_derivative_by_factors
                factors_keep_to_themselves factors_that_underflow ties_of_factors shapes_of_factors factors_of_another_owner;
            layouts: factor_cotangents_by_rows;
        }
    })* };
}

/// The tests of the types that are storage only.
macro_rules! of_halves {
    ($backend:expr; $($name:ident = $t:ty),*) => { $(mod $name {
        #[allow(unused_imports)] // the primitive types need none
        use super::*;
        tests! { $backend, $t;
            halves: computed_in_f32 stored_as_halves the_default_cut_of_halves ties_of_stored_halves a_gradient_that_overflows
                the_ends_of_the_range_of_halves;
            operations: operations_stored_as_halves results_that_overflow_halves;
            factor: factors_of_halves;
            losses: losses_of_halves;
            layouts: directions_stored_as_halves;
        }
    })* };
}

/// The tests of the CPU alone: threads are its own, and other solvers keep no more than ε‖A‖.
macro_rules! of_the_cpu {
    ($backend:expr; $($name:ident = $t:ty),*) => { $(mod $name {
        #[allow(unused_imports)] // the primitive types need none
        use super::*;
        tests! { $backend, $t;
            extremes: graded_matrices_keep_their_small_eigenvalues errors_in_units_of_epsilon;
            isolation: any_number_of_threads;
            operations: operations_by_any_number_of_threads;
            factor: factors_by_any_number_of_threads;
        }
    })* };
    ($backend:expr) => {
        of_the_cpu! { $backend; alone_float32 = f32, alone_float64 = f64, alone_complex64 = Complex<f32>, alone_complex128 = Complex<f64> }
        mod graded_float64 {
            tests! { $backend, f64; extremes: graded_spectra; }
        }
        mod graded_complex128 {
            use super::*;
            tests! { $backend, Complex<f64>; extremes: graded_spectra; }
        }
    };
}

/// The tests that compare a device with the CPU.
#[cfg(feature = "cuda")]
macro_rules! beside_the_cpu {
    ($backend:expr; $($name:ident = $t:ty),*) => { $(mod $name {
        #[allow(unused_imports)] // the primitive types need none
        use super::*;
        tests! { $backend, $t;
            parity: spectra_as_on_the_cpu gradients_as_on_the_cpu;
            factor: factors_as_on_the_cpu;
        }
    })* };
    ($backend:expr) => {
        beside_the_cpu! {
            $backend; beside_float32 = f32, beside_float64 = f64, beside_complex64 = Complex<f32>, beside_complex128 = Complex<f64>
        }
    };
}

/// The table: one line for each backend, which is an option where a machine may lack it, and what
/// belongs to it alone.
macro_rules! suite {
    ($($(#[$condition:meta])* $name:ident = $backend:expr, $own:ident;)*) => { $($(#[$condition])* mod $name {
        use super::*;
        of_scalars! { $backend; float32 = f32, float64 = f64, complex64 = Complex<f32>, complex128 = Complex<f64> }
        of_factors! { $backend; factors_float32 = f32, factors_float64 = f64, factors_complex64 = Complex<f32>, factors_complex128 = Complex<f64> }
        of_f64! { $backend; differences_float64 = f64, differences_complex128 = Complex<f64> }
        of_halves! { $backend; float16 = f16, bfloat16 = bf16, complex_float16 = Complex<f16>, complex_bfloat16 = Complex<bf16> }
        $own! { $backend }
    })* };
}
suite! {
    cpu = Some(eigengrad::Cpu::default()), of_the_cpu;
    #[cfg(feature = "cuda")]
    cuda = gpu::device(), beside_the_cpu;
}
