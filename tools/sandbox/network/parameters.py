"""The parameters of the simulated network. Each value has its source, or is marked as assumed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Parameters:
    """The size of the network, and how people in it rate, attend, answer and rupture."""

    # Size: chosen for demonstration, not realistic.
    clinics: int = 3
    clinicians_per_clinic: int = 8  # in each clinic
    relationships: int = 300
    started_weeks_ago: tuple[float, float] = (1, 26)

    # Sessions of a relationship: a Weibull distribution. The median in practice is about 8 (assumed); here
    # relationships last longer, so that more of them are ongoing.
    median_sessions: float = 14
    sessions_shape: float = 1.3
    max_sessions: int = 40

    # Ratings, in points of 0 to 10. About three quarters of the variance lies between relationships
    # (Crits-Christoph 2011), and most clients rate near the top (Meier and Feeley 2022).
    level: float = 9.0
    level_between_clients: float = 1.05
    level_between_clinicians: float = 0.3
    level_between_clinics: float = 0.2
    spread: float = 0.55  # within a relationship; gives the three quarters above
    spread_of_spread: float = 0.35  # logarithmic
    noise_autocorrelation: float = 0.25  # correlation of the noise of consecutive sessions (assumed)
    trend_per_session: float = 0.03  # stable alliances grow a little (Meier and Feeley 2022)
    element_habit: float = 0.3  # usual offset of an element relative to the others (assumed)
    element_noise: float = 0.4  # assumed
    constant_rater_share: float = 0.12  # of clients rate everything the same (Meier and Feeley 2022: common)
    bad_day_share: float = 0.03  # of sessions are rated lower once, without meaning (assumed)

    # Clinicians rate lower, agree in part, and notice half of the ruptures (assumed; Tryon 2007 for the agreement).
    clinician_offset: float = 0.4
    clinician_correlation: float = 0.36
    clinician_notice_probability: float = 0.5

    # Ruptures: 25 % of clients have one (Larsson 2018), between 15 and 50 % depending on the definition.
    rupture_probability: float = 0.25
    repair_probability: float = 0.58  # Larsson 2018
    deep_rupture_share: float = 0.5  # of the ruptures drop far below the ceiling, the others faintly (assumed)
    deep_drop_points: tuple[float, float] = (3.0, 5.0)
    faint_drop_points: tuple[float, float] = (1.0, 2.5)  # 2 to 4.5 spreads (Gumz 2012 uses 1 and 2)
    min_sessions_before_rupture: int = 2  # good sessions before one starts, at least
    recent_rupture_share: float = 0.4  # of the ruptures in ongoing relationships are a few days old (for demonstration)

    # Around the ratings.
    missed_session_share: float = 0.04  # of sessions (assumed)
    cancelled_session_share: float = 0.08  # of sessions, three in five by the client (assumed)
    unanswered_share: float = 0.2  # of forms; twice as many in a rupture (assumed)
    late_answer_share: float = 0.05  # of answers are given after the 72 hours (assumed)
    corrected_answer_share: float = 0.04  # of answers (assumed)
    misread_answer_share: float = 0.01  # of answers reverse the scale, and are corrected (assumed)
    late_entry_share: float = 0.03  # of sessions are entered after the next one (assumed)
    transfer_share: float = 0.1  # of endings (assumed)
    srs_clinician_share: float = 0.1  # of clinicians submit SRS totals instead of elements (for demonstration)
