"""What the simulated network is like. Each value has its source, or says that it is assumed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Parameters:
    """The size of the network, and how people in it rate, come, answer and fall out."""

    # Size: chosen to look at, not from life.
    clinics: int = 3
    clinicians_per_clinic: int = 8  # in each clinic
    relationships: int = 300
    started_weeks_ago: tuple[float, float] = (1, 26)

    # Sessions of a relationship: a Weibull distribution. The median in practice is about 8 (assumed); here more go
    # on until today, so that there is something to look at.
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
    noise_autocorrelation: float = 0.25  # correlation of one session's noise with the last one's (assumed)
    trend_per_session: float = 0.03  # a session; alliances that hold grow a little (Meier and Feeley 2022)
    element_habit: float = 0.3  # how an element usually stands to the others (assumed)
    element_noise: float = 0.4  # assumed
    constant_rater_share: float = 0.12  # of clients give one number for everything (Meier and Feeley 2022: common)
    bad_day_share: float = 0.03  # of sessions feel worse for once, and mean nothing (assumed)

    # Clinicians rate lower, partly agree, and notice half of the ruptures (assumed; Tryon 2007 for the agreement).
    clinician_offset: float = 0.4
    clinician_correlation: float = 0.36
    clinician_notice_probability: float = 0.5

    # Ruptures: 25 % of clients have one (Larsson 2018), between 15 and 50 % depending on who defines it.
    rupture_probability: float = 0.25
    repair_probability: float = 0.58  # Larsson 2018
    deep_rupture_share: float = 0.5  # of the ruptures fall far below the ceiling, the others faintly (assumed)
    deep_drop_points: tuple[float, float] = (3.0, 5.0)  # points
    faint_drop_points: tuple[float, float] = (1.0, 2.5)  # points; 2 to 4.5 spreads (Gumz 2012 uses 1 and 2)
    min_sessions_before_rupture: int = 2  # sessions that go well before one begins, at least
    recent_rupture_share: float = (
        0.4  # of the ruptures in relationships that go on are a few days old (chosen to look at)
    )

    # Around the ratings.
    missed_session_share: float = 0.04  # of sessions (assumed)
    cancelled_session_share: float = 0.08  # of sessions, three in five by the client (assumed)
    unanswered_share: float = 0.2  # of forms; twice as many in a rupture (assumed)
    late_answer_share: float = 0.05  # of answers come after the 72 hours (assumed)
    corrected_answer_share: float = 0.04  # of answers (assumed)
    misread_answer_share: float = 0.01  # of answers take the scale the wrong way round, and are corrected (assumed)
    late_entry_share: float = 0.03  # of sessions reach the clinic's system after the next one (assumed)
    transfer_share: float = 0.1  # of endings (assumed)
    srs_clinician_share: float = (
        0.1  # of clinicians send totals of the SRS in place of the elements (chosen to look at)
    )
