using Proxy.Config;

namespace Proxy.Tests.Config;

/// <summary>The <c>[traces]</c> section, and the variables of OpenTelemetry.</summary>
public sealed class TracesConfigTests
{
    private const string Variable = "OTEL_EXPORTER_OTLP_ENDPOINT";

    [Fact]
    public void No_section_and_no_variable_Nothing_is_traced() => Assert.Null(Toml.Good("").Traces);

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("[traces]\nsample = 0.5")]
    public void Variables_Name_the_receiver_with_and_without_a_file(string? toml)
    {
        var sources = Toml.Machine(new() { [Variable] = "http://otel:4318", ["OTEL_EXPORTER_OTLP_HEADERS"] = "api-key=a%20b, x-y = z" });

        var traces = (toml is null ? ConfigReader.ReadEnvironment(sources, out _).Traces : Toml.Good(toml, sources).Traces)!;

        Assert.Equal(("http://otel:4318", "a b", "z", 2), (traces.Otlp, traces.Headers["api-key"], traces.Headers["x-y"], traces.Headers.Count));
    }

    [Theory]
    [InlineData("http://h:4318", "http://h:4318/v1/traces")]
    [InlineData("http://h:4318/", "http://h:4318/v1/traces")]
    [InlineData("https://h/otlp/", "https://h/otlp/v1/traces")]
    [InlineData("https://h/otlp/v1/traces", "https://h/otlp/v1/traces")]
    public void Path_Is_added_as_OpenTelemetry_says(string otlp, string url) => Assert.Equal(url, TracesConfig.Endpoint(otlp).AbsoluteUri);

    [Fact]
    public void Every_key_Reaches_its_record()
    {
        var traces = Toml.Good("""
            [traces]
            otlp = "https://otel:4318"
            sample = 1
            headers = { "x-key" = "${KEY}" }
            ca = "ca.pem"
            """, Toml.Machine(new() { ["KEY"] = "s3cret" }, new() { ["/etc/proxy/ca.pem"] = Toml.CertPem })).Traces!;

        Assert.Equal(("https://otel:4318", 1.0, "s3cret", "/etc/proxy/ca.pem"), (traces.Otlp, traces.Sample, traces.Headers["x-key"], traces.Ca!.Path));
        Assert.DoesNotContain("s3cret", traces.ToString(), StringComparison.Ordinal);
        Assert.Equal(traces.Receiver(), (traces with { Sample = 0 }).Receiver()); // a reload can change it
        Assert.NotEqual(traces.Receiver(), (traces with { Headers = new Dictionary<string, string>() }).Receiver());
    }

    [Theory]
    [InlineData("[traces]", 1, "traces.otlp", "is missing; write otlp = \"http://127.0.0.1:4318\", or set OTEL_EXPORTER_OTLP_ENDPOINT")]
    [InlineData("[traces]\notlp = \"otel:4318\"", 2, "traces.otlp", "is not the URL of a receiver")]
    [InlineData("[traces]\notlp = \"http://u:p@otel\"", 2, "traces.otlp", "holds a credential")]
    [InlineData("[traces]\notlp = \"http://otel?a=b\"", 2, "traces.otlp", "has a query")]
    [InlineData("[traces]\notlp = \"http://otel\"\nsample = 1.5", 3, "traces.sample", "from 0 to 1")]
    [InlineData("[traces]\notlp = \"http://otel\"\nsample = -0.1", 3, "traces.sample", "from 0 to 1")]
    [InlineData("[traces]\notlp = \"http://otel\"\nsample = nan", 3, "traces.sample", "from 0 to 1")]
    [InlineData("[traces]\notlp = \"http://otel\"\nsample = \"1%\"", 3, "traces.sample", "is a text; write a number without quotes")]
    [InlineData("[traces]\notlp = \"http://otel\"\nheaders = { \"a b\" = \"c\" }", 3, "traces.headers.a b", "is not a header's name")]
    [InlineData("[traces]\notlp = \"http://otel\"\nheaders = { host = \"c\" }", 3, "traces.headers.host", "is set by the proxy")]
    [InlineData("[traces]\notlp = \"http://otel\"\nendpoint = \"c\"", 3, "traces.endpoint", "write otlp")]
    [InlineData("[traces]\notlp = \"https://otel\"\nca = \"ca.pem\"\ntls_verify = false", 4, "traces.tls_verify", "false ignores ca")]
    [InlineData("[traces]\notlp = \"http://otel\"\nca = \"ca.pem\"", 3, "traces.ca", "is for a receiver reached by https://")]
    public void Mistake_Is_refused_on_its_line(string toml, int line, string key, string message) =>
        Toml.IsRefused(toml, line, key, message, Toml.Machine(files: new() { ["/etc/proxy/ca.pem"] = Toml.CertPem }));

    [Theory]
    [InlineData(Variable, "otel:4318")]
    [InlineData("OTEL_EXPORTER_OTLP_HEADERS", "no equals sign")]
    public void Variable_is_wrong_The_problem_names_it(string name, string value)
    {
        var variables = new Dictionary<string, string> { [Variable] = "http://otel" };
        variables[name] = value;

        ConfigReader.ReadEnvironment(Toml.Machine(variables), out var problems);

        Assert.Equal(name, Assert.Single(problems).Key);
    }

    [Theory]
    [InlineData(Variable, "http://other", "has an otlp of its own")]
    [InlineData("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://other/x", "set OTEL_EXPORTER_OTLP_ENDPOINT")]
    [InlineData("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "not as grpc")]
    public void Variable_has_no_effect_The_start_says_so(string name, string value, string reason)
    {
        var sources = Toml.Machine(new() { [name] = value });

        var (variable, said) = Assert.Single(UnusedVariables.Find(Toml.Good("[traces]\notlp = \"http://otel\"", sources), sources.Environment));

        Assert.Equal(name, variable);
        Assert.Contains(reason, said, StringComparison.Ordinal);
    }
}
