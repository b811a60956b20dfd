/* Windows: name, the keys j (or s) a query i may look at, source. */
AT_WINDOW_ENTRY(monotonic, "radius = D: |j - step| <= D", "Luong et al. 2015, local-m")
AT_WINDOW_ENTRY(predictive,
                "radius = D: |s - p| <= D, p = S sigmoid(v' tanh(W q)), times exp(-(s - p)^2 / (2 (D/2)^2))",
                "Luong et al. 2015, local-p")
AT_WINDOW_ENTRY(band, "left =, right =: i - left <= j <= i + right", "Beltagy et al. 2020")
