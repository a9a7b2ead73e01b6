using Proxy.Tests.Harness;

namespace Proxy.Tests.Sdk;

/// <summary>The clients that people use, in JavaScript and Python, to a real engine and to breaking hosts. Each script checks the answers itself and says what worked.</summary>
[Collection(RealClients.Name)]
[Trait("Category", "Sdk")]
public sealed class ScriptedSdkTests(SdkDoor door)
{
    [Fact]
    public async Task OpenAI_client_for_JavaScript_Everything_works()
    {
        var aborted = door.Engine.Aborted;

        var worked = await Script.NodeAsync("openai.mjs", door.Address);

        Assert.Equal(30, worked.Count);
        await EngineStoppedAsync(aborted);
    }

    [Fact]
    public async Task Ollama_client_for_JavaScript_Everything_works()
    {
        var aborted = door.Engine.Aborted;

        var worked = await Script.NodeAsync("ollama.mjs", door.Address);

        Assert.Equal(15, worked.Count);
        await EngineStoppedAsync(aborted);
    }

    [Fact]
    public async Task OpenAI_client_for_Python_Everything_works()
    {
        var aborted = door.Engine.Aborted;

        var worked = await Script.PythonAsync("openai_client.py", door.Address);

        Assert.Equal(11, worked.Count);
        await EngineStoppedAsync(aborted);
    }

    [Fact]
    public async Task Ollama_client_for_Python_Everything_works()
    {
        var aborted = door.Engine.Aborted;

        var worked = await Script.PythonAsync("ollama_client.py", door.Address);

        Assert.Equal(8, worked.Count);
        await EngineStoppedAsync(aborted);
    }

    /// <summary>Each script leaves one stream early: the engine must have been stopped.</summary>
    private Task EngineStoppedAsync(int before) => Patience.Until(() => Task.FromResult(door.Engine.Aborted > before), "the engine is stopped");
}
