namespace Proxy.Tests.Harness;

/// <summary>A booted Debian 13 that can run pipelines as units: with polkit, the names of dynamic users, and a NATS server.</summary>
public sealed class WorkflowBox : SystemdBox
{
    /// <summary>The name of the tests that share a box.</summary>
    internal const string Shared = "workflow box";

    private protected override Task<string> TreeAsync() => DebianTree.WithSystemdAsync("trixie", "polkitd", "libnss-systemd", "nats-server");

    /// <summary>Writes a template unit and has systemd read it.</summary>
    /// <param name="name">Its name, without the ending.</param>
    /// <param name="service">The lines of its <c>[Service]</c>. The job is at <c>/run/proxy/jobs/%i.json</c>.</param>
    internal async Task TemplateAsync(string name, string service)
    {
        await File.WriteAllTextAsync(Inside($"/etc/systemd/system/{name}.service"), $"""
            [Unit]
            CollectMode=inactive-or-failed
            [Service]
            StandardInput=file:/run/proxy/jobs/%i.json
            {service}

            """);
        await RunAsync("systemctl", "daemon-reload");
    }

    /// <summary>Calls systemd's manager as the user of the packaged service, who exists while it runs or this call does.</summary>
    /// <returns>The exit code, and what D-Bus answered.</returns>
    internal Task<(int ExitCode, string Output)> AsServiceAsync(params string[] call) => TryAsync(
    [
        "systemd-run", "--quiet", "--wait", "--pipe", "--property=DynamicUser=yes", "--property=User=llm-proxy", "busctl", "call", "org.freedesktop.systemd1",
        "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", .. call,
    ]);
}

/// <summary>The tests that use one box after the other.</summary>
[CollectionDefinition(WorkflowBox.Shared)]
public sealed class WorkflowBoxTests : ICollectionFixture<WorkflowBox>;
