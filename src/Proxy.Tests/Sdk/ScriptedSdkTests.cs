using Proxy.Tests.Harness;

namespace Proxy.Tests.Sdk;

/// <summary>
/// JavaScript and Python clients that are in common use, with a real engine and with hosts that break off. Each script checks the answers itself and reports
/// what passed.
/// </summary>
[Collection(RealClients.Name)]
[Trait("Category", "Sdk")]
public sealed class ScriptedSdkTests(SdkDoor door)
{
    [Fact]
    public async Task OpenAI_client_for_JavaScript_Everything_works()
    {
        var aborted = door.Engine.Aborted;

        var worked = await Script.NodeAsync("openai.mjs", door.Address);

        Assert.Equal(48, worked.Count);
        await EngineStoppedAsync(aborted);
    }

    [Fact]
    public async Task Ollama_client_for_JavaScript_Everything_works()
    {
        var aborted = door.Engine.Aborted;

        var worked = await Script.NodeAsync("ollama.mjs", door.Address);

        Assert.Equal(21, worked.Count);
        await EngineStoppedAsync(aborted);
    }

    [Theory]
    [InlineData("anthropic.mjs", 16)]
    [InlineData("ai.mjs", 29)]
    [InlineData("langchain.mjs", 29)]
    public async Task Client_for_JavaScript_over_hosts_of_other_dialects_Everything_works(string script, int things) =>
        Assert.Equal(things, (await Script.NodeAsync(script, door.Address)).Count);

    [Fact]
    public async Task Anthropic_client_for_Python_Everything_works() => Assert.Equal(14, (await Script.PythonAsync("anthropic_client.py", door.Address)).Count);

    [Fact]
    public async Task OpenAI_client_for_Python_Everything_works()
    {
        var aborted = door.Engine.Aborted;

        var worked = await Script.PythonAsync("openai_client.py", door.Address);

        Assert.Equal(14, worked.Count);
        await EngineStoppedAsync(aborted);
    }

    [Fact]
    public async Task Ollama_client_for_Python_Everything_works()
    {
        var aborted = door.Engine.Aborted;

        var worked = await Script.PythonAsync("ollama_client.py", door.Address);

        Assert.Equal(9, worked.Count);
        await EngineStoppedAsync(aborted);
    }

    /// <summary>Each script abandons one stream early: the engine must then have been stopped.</summary>
    private Task EngineStoppedAsync(int before) => Patience.Until(() => Task.FromResult(door.Engine.Aborted > before), "the engine is stopped");
}
